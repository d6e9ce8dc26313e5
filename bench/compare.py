"""A/B comparison of the site's speed: two or more checkouts or settings in one run.

    git worktree add ../before main
    python -m bench.compare ../before . --clients 32 --core 0 --load-core 1
    python -m bench.compare . .,PREDICTION_BATCH=16

    python -m bench.compare ../before . --clients 1 --rounds 5 --seconds 10 --idle --core 0 --load-core 1

All sites run with this Python and its packages. They are loaded in turns, and the ratios within a round are reported.
Two equal sites show the noise of the measurement: about two per cent with 16 rounds.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
from pathlib import Path

from bench import serving
from bench.support import request_bodies, turns

FIGURES = {
    "per_second": "a second",
    "median": "median ms",
    "tail": "p99/median",
    "processor_milliseconds": "CPU ms",
    "megabytes": "MB",
}


def main() -> int:
    """Compare the sites of the command line, print the ratios and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sites", nargs="+", type=parse_site, metavar="FOLDER[,SETTING=VALUE]", help="a checkout and settings for it"
    )
    parser.add_argument("--kind", default="canvas", choices=list(serving.COUNTS))
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1, help="length of each turn")
    parser.add_argument("--idle", action="store_true", help="measure the first request after idling too")
    parser.add_argument("--core", type=int, help="the sites' processor")
    parser.add_argument("--load-core", type=int, help="the load generator's processor")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        bodies = request_bodies.write_bodies(options.kind, serving.COUNTS[options.kind], folder / "bodies")
        sites = {}
        for number, (text, code, settings) in enumerate(options.sites, 1):
            site = serving.start_site(options.core, folder / str(number), code=code, **settings)
            sites[f"{number}  {text}"] = stack.enter_context(site)
        measured = turns.take_turns(
            sites,
            bodies,
            clients=options.clients,
            rounds=options.rounds,
            seconds=options.seconds,
            load_core=options.load_core,
        )
        after_idling = serving.after_idling(list(sites.values()), bodies) if options.idle else []
    first = next(iter(measured.values()))
    print("".join(f"{title:>12}{'ratio':>8}" for title in FIGURES.values()))
    for name, results in measured.items():
        cells = (
            f"{turns.median(results, figure):12.2f}{turns.ratio(results, first, figure):8.3f}" for figure in FIGURES
        )
        print(f"{''.join(cells)}   {name}")
    for name, milliseconds in zip(sites, after_idling, strict=False):
        print(f"first request after idling: {statistics.median(milliseconds):.1f} ms   {name}")
    return 0


def parse_site(text: str) -> tuple[str, Path, dict[str, str]]:
    """Parse a site of the command line into its text, its checkout and its settings."""
    code, *settings = text.split(",")
    if not Path(code, "manage.py").exists() or any("=" not in setting for setting in settings):
        raise argparse.ArgumentTypeError(
            f"{text} is not a checkout of this site with settings like PREDICTION_BATCH=16 after commas"
        )
    return text, Path(code).resolve(), dict(setting.split("=", 1) for setting in settings)


if __name__ == "__main__":
    sys.exit(main())
