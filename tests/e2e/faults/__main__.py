"""The fault run with its figures: `python -m tests.e2e.faults --seconds 180 --seed 1`. Exits with 1 on failure."""

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
    parser.add_argument("--sqlite", action="store_true", help="keep the rows in SQLite although there is a PostgreSQL")
    told = parser.parse_args()

    import django

    django.setup()
    # A line for each of ten thousand requests would hide what is said here.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    from digitsite.testing import postgresql

    from .run import run

    postgresql.announce()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        report = run(
            Path(folder) / "data",
            seed=told.seed,
            seconds=told.seconds,
            freeze_seconds=told.freeze,
            with_postgresql=not told.sqlite and postgresql.programs() is not None,
            own_server=True,
            say=lambda line: print(line, flush=True),
            TRAINER=os.environ.get("TRAINER", "1"),
        )
    print(report)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
