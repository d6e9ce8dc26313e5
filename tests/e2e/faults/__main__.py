"""Run the fault test: `python -m tests.e2e.faults --seconds 180 --seed 1`. Exits with 1 on failure."""

import argparse
import logging
import os
import random
import sys
import tempfile
from pathlib import Path

from digitsite.testing import environment  # noqa: F401 - before Django reads its settings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="of load and faults (default: 180)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000), help="which faults when")
    parser.add_argument("--freeze", type=float, default=20, help="seconds that Redis hangs (default: 20)")
    parser.add_argument("--sqlite", action="store_true", help="use SQLite even if PostgreSQL is installed")
    options = parser.parse_args()

    import django

    django.setup()
    # Suppress one log line for each of ten thousand requests.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    from digitsite.testing import postgresql

    from .run import run

    postgresql.announce()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        report = run(
            Path(folder) / "data",
            seed=options.seed,
            seconds=options.seconds,
            freeze_seconds=options.freeze,
            with_postgresql=not options.sqlite and postgresql.programs() is not None,
            own_server=True,
            say=lambda line: print(line, flush=True),
            TRAINER=os.environ.get("TRAINER", "1"),
        )
    print(report)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
