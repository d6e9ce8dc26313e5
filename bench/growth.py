"""Cost of a submission and of the pages by the number of stored submissions.

    python -m bench.growth                            # 1,000 and 100,000
    python -m bench.growth --rows 1000 10000 100000 1000000

For each size a site is filled (a million rows take about ten minutes) and started. The sites are loaded over HTTP in
turns. The processor time of web server, worker and Redis for each submission is compared: a busy machine affects it
least.
"""

import argparse
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import serving
from bench.support import request_bodies, turns
from digitsite.testing.supervised import Supervised

PAGES = ("/", "/history/", "/history/?digit=7&verdict=unsure", "/review/")
PROMISED_MILLISECONDS = 50
COST = "processor_milliseconds"
CLIENTS = 8
# More than a site answers in all its turns, so that no body is sent twice.
BODIES = 8000


def main() -> int:
    """Measure sites of each size, print the table and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--rounds", type=int, default=8, help="number of turns of each site")
    parser.add_argument("--seconds", type=float, default=2, help="length of each turn")
    parser.add_argument("--core", type=int, help="the site's processor")
    parser.add_argument("--load-core", type=int, help="the load generator's processor")
    parser.add_argument("--filled", type=Path, help="folder in which filled sites are kept for the next run")
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)  # in a child process, with DATA_DIR set
    options = parser.parse_args()
    if options.fill:
        return fill(options.fill)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        bodies = request_bodies.write_bodies("canvas", BODIES, folder / "bodies")
        sites = {}
        for rows in options.rows:
            data = folder / str(rows)
            shutil.copytree(filled_site((options.filled or folder / "filled") / str(rows), rows), data)
            sites[str(rows)] = stack.enter_context(serving.start_site(options.core, data))
        measured = turns.take_turns(
            sites, bodies, clients=CLIENTS, rounds=options.rounds, seconds=options.seconds, load_core=options.load_core
        )
        first = measured[str(options.rows[0])]
        for rows, site in sites.items():
            cost = turns.median(measured[rows], COST)
            ratio = turns.ratio(measured[rows], first, COST)
            print(f"{rows:>9} stored: {cost:.2f} ms of processor time a submission, {ratio:.2f} x the first")
            for path, milliseconds in pages(site).items():
                print(f"{'':18}{path:36}{milliseconds:7.1f} ms (promised {PROMISED_MILLISECONDS})")
    return 0


def filled_site(data: Path, rows: int) -> Path:
    """Return the data folder of a site with `rows` submissions; fill it if it does not exist."""
    if not data.exists():
        draft = data.with_name(f"{data.name}.draft")
        draft.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"DATA_DIR": str(draft), "REDIS_URL": "redis://127.0.0.1:1"}
        subprocess.run([sys.executable, "-m", "bench.growth", "--fill", str(rows)], env=environment, check=True)
        draft.replace(data)
    return data


def pages(site: Supervised, tries: int = 25) -> dict[str, float]:
    """Return the median milliseconds of each page for the signed-in operator."""
    medians = {}
    with site.client(follow_redirects=True) as client:
        page = client.get(site.sign_in_link)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        if token:  # the sign-in link shows a page with one button
            client.post(str(page.url), data={"csrfmiddlewaretoken": token[1]}, headers={"Referer": str(page.url)})
        for path in PAGES:
            times = []
            for _ in range(tries):
                started = time.perf_counter()
                client.get(path).raise_for_status()
                times.append((time.perf_counter() - started) * 1000)
            medians[path] = statistics.median(times)
    return medians


def fill(rows: int) -> int:
    """Fill the site of DATA_DIR with `rows` submissions and return the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digitsite.settings")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("prepare")
    from digitsite.testing import populated_site
    from digitsite.testing.users import member_of

    populated_site.fill(rows, reviewers=[member_of("reviewer", "rita"), member_of("reviewer", "rolf")])
    return 0


if __name__ == "__main__":
    sys.exit(main())
