"""Whether a change makes the site quicker: two or more checkouts, or settings, side by side in one run.

    git worktree add ../before main
    python -m bench.compare ../before . --clients 32 --core 0 --load-core 1
    python -m bench.compare . .,PREDICTION_BATCH=16

All run with this Python and its packages. They are driven in turns, and what counts are the ratios within a round. Two
of the same show how much of a difference is chance: with 16 rounds some two per cent.
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from bench import pictures, serving, turns

FIGURES = {"per_second": "a second", "median": "median ms", "processor_milliseconds": "CPU ms"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sites", nargs="+", type=described, metavar="FOLDER[,SETTING=VALUE]", help="a checkout, and settings of its own"
    )
    parser.add_argument("--kind", default="canvas", choices=list(serving.COUNTS))
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1, help="of each turn")
    parser.add_argument("--core", type=int, help="the sites' processor")
    parser.add_argument("--load-core", type=int, help="the load generator's processor")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        bodies = pictures.of(asked.kind, serving.COUNTS[asked.kind], folder / "bodies")
        sites = {}
        for number, (text, code, settings) in enumerate(asked.sites, 1):
            site = serving.started(asked.core, folder / str(number), code=code, **settings)
            sites[f"{number}  {text}"] = stack.enter_context(site)
        measured = turns.taken(
            sites,
            bodies,
            clients=asked.clients,
            rounds=asked.rounds,
            seconds=asked.seconds,
            load_core=asked.load_core,
        )
    first = next(iter(measured.values()))
    print("".join(f"{title:>12}{'ratio':>8}" for title in FIGURES.values()))
    for name, some in measured.items():
        cells = (f"{turns.median(some, one):12.2f}{turns.ratio(some, first, one):8.3f}" for one in FIGURES)
        print(f"{''.join(cells)}   {name}")
    return 0


def described(text: str) -> tuple[str, Path, dict[str, str]]:
    """A site of the command line: as it was named, its checkout, its settings."""
    code, *settings = text.split(",")
    if not Path(code, "manage.py").exists() or any("=" not in one for one in settings):
        raise argparse.ArgumentTypeError(
            f"{text} is no checkout of this site, with settings like PREDICTION_BATCH=16 after commas"
        )
    return text, Path(code).resolve(), dict(one.split("=", 1) for one in settings)


if __name__ == "__main__":
    sys.exit(main())
