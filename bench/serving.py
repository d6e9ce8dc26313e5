"""Load test of the site: throughput, latency, errors, memory and batch sizes by kind of input and number of clients.

    make bench                    # or: python -m bench.serving --json serving.json
    python -m bench.serving --kinds canvas --clients 32 --seconds 60 --core 0 --load-core 1

Starts the site as `make run` does, on a temporary data folder, and loads it over HTTP with wrk. `--core` pins the whole
site to one processor and `--load-core` the load generator to another, so that ratios are stable on a busy machine. The
command fails if a submission that was answered is not stored with its prediction afterwards.
"""

import argparse
import contextlib
import json
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from bench import processes
from bench.support import load, request_bodies
from digitsite.testing.site import BASE_DIR, wait_until
from digitsite.testing.supervised import Supervised

# Number of bodies of each kind: more than a run can send where they are cheap to make, so that none is sent twice.
COUNTS = {"small": 12_000, "canvas": 6000, "strokes": 12_000, "photo": 24, "hundred": 100}
HEAD = (
    "kind      clients  pictures/s       p50       p99   longest  later errors  batch  CPU ms:   web worker  Redis"
    "   MB: web worker  Redis"
)
PARTS = ("web", "predictions", "redis")
# Without limits and without a trainer: only serving is measured.
IDLE_SECONDS = 3.0
SETTINGS = {"TRAINER": "0", "LOG_LEVEL": "ERROR"}
WARMING_SECONDS = 1
FIRST_REQUESTS = 10
WARM_UP_IMAGES = 1500
WARM_UP_BATCH = 10  # small, because the memory of the site is measured too


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        kind: Kind of the request bodies, a key of `COUNTS`.
        images: Images in each request.
        load: Throughput, latency and errors.
        batch: Mean number of submissions in a batch of the worker.
        processor_milliseconds: Processor time of web server, worker and Redis for each image.
        megabytes: Memory of each of these three after the run.
    """

    kind: str
    images: int
    load: load.Load
    batch: float
    processor_milliseconds: dict[str, float]
    megabytes: dict[str, float]


def main() -> int:
    """Run the measurements, print the table and return the exit status."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        bodies = {kind: request_bodies.write_bodies(kind, COUNTS[kind], folder / kind) for kind in options.kinds}
        data = folder / "data"
        with start_site(options.core, data) as site, more_workers(options.workers - 1, data, options.core) as more:
            print(HEAD)
            rows = [
                measure(site, kind, bodies[kind], clients, options, more=more)
                for kind in options.kinds
                for clients in options.clients
            ]
            [first] = after_idling([site], bodies[options.kinds[0]])
            print(f"\nfirst request after idling, median of {len(first)}: {statistics.median(first):.1f} ms")
            summary = check_stored(data)
            print(summary)
    if options.json:
        figures = {"rows": [asdict(row) for row in rows], "first_milliseconds": first}
        options.json.write_text(json.dumps(figures, indent=1))
    return int(", none lost" not in summary)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=list(COUNTS), choices=list(COUNTS))
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--seconds", type=float, default=4, help="length of each measurement")
    parser.add_argument("--workers", type=int, default=1, help="prediction workers")
    parser.add_argument("--core", type=int, help="the site's processor")
    parser.add_argument("--load-core", type=int, help="the load generator's processor")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser.parse_args()


@contextlib.contextmanager
def start_site(core: int | None, data: Path, *, code: Path = BASE_DIR, **settings: str) -> Iterator[Supervised]:
    """Start the site as `make run` does, from the checkout `code`, and yield it when it is warm."""
    command = load.pinned([sys.executable, "-m", "digitsite.supervisor"], core)
    with Supervised(data, command=tuple(command), code=code, **(SETTINGS | settings)) as site:
        site.wait_until_it_answers()
        site.wait_until_the_start_is_over()
        warm_up(site)
        yield site


def warm_up(site: Supervised) -> None:
    """Store images until every image folder exists; creating a folder costs more than writing a file to it."""
    files = request_bodies.noise(WARM_UP_IMAGES)
    with load.Connection(site.url) as connection:
        for start in range(0, len(files), WARM_UP_BATCH):
            body = request_bodies.form(files[start : start + WARM_UP_BATCH])
            status, _ = connection.request("POST", "/api/v1/submissions", body, request_bodies.FORM)
            if status != 207:
                raise load.LoadError(f"A request with several images was answered with status {status}.")


@contextlib.contextmanager
def more_workers(count: int, data: Path, core: int | None) -> Iterator[list[int]]:
    """Start `count` prediction workers in addition to the one of the site, and yield their process ids."""
    with contextlib.ExitStack() as stack:
        command = load.pinned([sys.executable, "-m", "digitsite.worker", "predictions"], core)
        environment = SETTINGS | {"DATA_DIR": str(data), "LOG_LEVEL": "INFO"}
        pids = []
        for number in range(count):
            log = data / f"worker-{number}.log"
            pids.append(
                stack.enter_context(processes.running(command, environment=environment, log=log, folder=BASE_DIR))
            )
            wait_until(partial(_is_ready, log), seconds=60, event="an additional worker")
        yield pids


def _is_ready(log: Path) -> bool:
    return " ready." in log.read_text()


def measure(
    site: Supervised, kind: str, bodies: load.Bodies, clients: int, options: argparse.Namespace, *, more: list[int]
) -> Row:
    """Load the site with one kind of bodies, print the row and return it."""
    url = f"{site.url}api/v1/submissions"
    offset = clients * 37  # each row begins with another body
    warm = load.run(url, bodies, clients=clients, seconds=WARMING_SECONDS, core=options.load_core, offset=offset)
    pids = {part: [site.part(part).pid] for part in PARTS}
    pids["predictions"] += more
    batches, before = batch_counters(site), {part: processes.processor_seconds(group) for part, group in pids.items()}
    loaded = load.run(
        url, bodies, clients=clients, seconds=options.seconds, core=options.load_core, offset=offset + warm.answered
    )
    spent = {part: processes.processor_seconds(group) - before[part] for part, group in pids.items()}
    answered, count = (after - before for after, before in zip(batch_counters(site), batches, strict=True))
    each = request_bodies.BATCH if kind == "hundred" else 1
    stored = max(1, (loaded.answered + loaded.later) * each)
    row = Row(
        kind=kind,
        images=each,
        load=loaded,
        batch=answered / count if count else 0.0,
        processor_milliseconds={part: seconds * 1000 / stored for part, seconds in spent.items()},
        megabytes={part: processes.megabytes(group) for part, group in pids.items()},
    )
    print(
        f"{kind:9}{clients:8}{loaded.per_second * each:12.1f}{loaded.p50:10.1f}{loaded.p99:10.1f}{loaded.longest:10.1f}"
        f"{loaded.later:7}{loaded.errors:7}{row.batch:7.1f}{sum(row.processor_milliseconds.values()):8.2f}"
        + "".join(f"{milliseconds:7.2f}" for milliseconds in row.processor_milliseconds.values())
        + "   "
        + "".join(f"{megabytes:7.0f}" for megabytes in row.megabytes.values()),
        flush=True,
    )
    return row


def batch_counters(site: Supervised) -> tuple[float, float]:
    """Return the numbers of predicted submissions and of batches so far, from /metrics."""
    with site.client() as client:
        text = client.get("metrics").raise_for_status().text
    total, count = (re.search(rf"^digits_batch_size_{name} (\S+)$", text, re.MULTILINE) for name in ("sum", "count"))
    return float(total[1]) if total else 0.0, float(count[1]) if count else 0.0


def after_idling(sites: Sequence[Supervised], bodies: load.Bodies) -> list[list[float]]:
    """Return the milliseconds of requests that arrive after a pause, for each site."""
    times: list[list[float]] = [[] for _ in sites]
    for number in range(FIRST_REQUESTS):
        time.sleep(IDLE_SECONDS)  # the idle period is what is measured
        body = (bodies.folder / str(number)).read_bytes()
        for site, results in zip(sites, times, strict=True):
            with load.Connection(site.url) as connection:
                connection.request("GET", "/healthz")  # the connection is open before the clock starts
                status, milliseconds = connection.request("POST", "/api/v1/submissions", body, bodies.content_type)
            if status not in (201, 207):
                raise load.LoadError(f"The first request after idling was answered with status {status}.")
            results.append(milliseconds)
    return times


def check_stored(data: Path) -> str:
    """Wait until every submission has its prediction; return the numbers of predicted and lost ones as a sentence."""
    with contextlib.closing(sqlite3.connect(f"file:{next(data.glob('*.sqlite3'))}?mode=ro", uri=True)) as database:

        def count(state: str) -> int:
            row = database.execute(
                f"SELECT count(*) FROM recognizer_submission WHERE state {state} 'predicted'"  # noqa: S608  a constant
            ).fetchone()
            return int(row[0])

        with contextlib.suppress(AssertionError):
            wait_until(lambda: count("<>") == 0, seconds=60, event="the last answers")
        lost = count("<>")
        return f"{count('=')} submissions stored and answered" + (f", {lost} lost" if lost else ", none lost")


if __name__ == "__main__":
    sys.exit(main())
