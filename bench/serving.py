"""How fast the site is: requests a second, latency, errors, memory, batch sizes; by kind of picture and clients.

    make bench                    # or: python -m bench.serving --json serving.json --plot serving.svg
    python -m bench.serving --kinds canvas --clients 32 --seconds 60 --core 0 --load-core 1

Starts the site as `make run` does, on a data folder of its own, and drives it over HTTP with wrk. `--core` keeps the
whole site on one processor and `--load-core` the load generator on another, so that ratios hold on a busy machine.
Afterwards everything that was answered must be stored, with its prediction; else the command fails.
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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import load, pictures, processes
from digitsite.testing.site import BASE_DIR, wait_until
from digitsite.testing.supervised import Supervised

# Bodies of each kind; more than a run can send where that is quickly made, so that nothing is sent twice.
COUNTS = {"small": 12_000, "canvas": 6000, "strokes": 12_000, "photo": 24, "hundred": 100}
HEAD = (
    "kind      clients  pictures/s       p50       p99   longest  later errors  batch  CPU ms:   web worker  Redis"
    "   MB: web worker  Redis"
)
PARTS = ("web", "predictions", "redis")
# No limits, no trainer: what is measured is the serving side.
SETTINGS = {"TRAINER": "0", "LOG_LEVEL": "ERROR", "WORKER_IDLE_SECONDS": "2"}
WARMING_SECONDS = 1
FIRST_REQUESTS = 10
PICTURES_BEFORE = 1500
AT_ONCE_BEFORE = 10  # few, for the memory of a site is measured too


@dataclass(frozen=True)
class Row:
    """One measurement; see `load.Load` for most of it.

    Attributes:
        pictures: in each request.
        batch: submissions that the worker answered together, on average.
        processor_milliseconds: of web server, worker and Redis, each, for a picture.
        megabytes: of each of these three afterwards.
    """

    kind: str
    pictures: int
    load: load.Load
    batch: float
    processor_milliseconds: dict[str, float]
    megabytes: dict[str, float]


def main() -> int:
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        bodies = {kind: pictures.of(kind, COUNTS[kind], folder / kind) for kind in asked.kinds}
        data = folder / "data"
        with started(asked.core, data) as site, more_workers(asked.workers - 1, data, asked.core) as more:
            print(HEAD)
            rows = [
                measure(site, kind, bodies[kind], clients, asked, more=more)
                for kind in asked.kinds
                for clients in asked.clients
            ]
            first = after_idling(site, bodies[asked.kinds[0]])
            print(f"\nfirst request after idling, median of {len(first)}: {statistics.median(first):.1f} ms")
            everything = everything_is_stored(data)
            print(everything)
    if asked.json:
        figures = {"rows": [asdict(row) for row in rows], "first_milliseconds": first}
        asked.json.write_text(json.dumps(figures, indent=1))
    if asked.plot:
        plot(rows, asked.plot)
    return int("lost" in everything)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=list(COUNTS), choices=list(COUNTS))
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--workers", type=int, default=1, help="prediction workers")
    parser.add_argument("--core", type=int, help="the site's processor")
    parser.add_argument("--load-core", type=int, help="the load generator's processor")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--plot", type=Path, help="draw them into this file")
    return parser.parse_args()


@contextlib.contextmanager
def started(core: int | None, data: Path, *, code: Path = BASE_DIR, **settings: str) -> Iterator[Supervised]:
    """The site as `make run` starts it, from the checkout `code`, ready to be measured."""
    command = load.pinned([sys.executable, "-m", "digitsite.supervisor"], core)
    with Supervised(data, command=tuple(command), code=code, **(SETTINGS | settings)) as site:
        site.wait_until_it_answers()
        site.wait_until_the_start_is_over()
        use(site)
        yield site


def use(site: Supervised) -> None:
    """Make a new site one that was in use: to make a picture's folder costs more than the picture, and all are there
    after the first thousand."""
    files = pictures.noise(PICTURES_BEFORE)
    with load.Connection(site.url) as connection:
        for start in range(0, len(files), AT_ONCE_BEFORE):
            body = pictures.form(files[start : start + AT_ONCE_BEFORE])
            status, _ = connection.ask("POST", "/api/v1/submissions", body, pictures.FORM)
            if status != 207:
                raise load.LoadError(f"Several pictures were answered {status}.")


@contextlib.contextmanager
def more_workers(count: int, data: Path, core: int | None) -> Iterator[list[int]]:
    """So many prediction workers beside the one that the site starts; their process ids."""
    with contextlib.ExitStack() as stack:
        command = load.pinned([sys.executable, "-m", "digitsite.worker", "predictions"], core)
        environment = SETTINGS | {"DATA_DIR": str(data), "LOG_LEVEL": "INFO"}
        pids = []
        for number in range(count):
            log = data / f"worker-{number}.log"
            pids.append(
                stack.enter_context(processes.running(command, environment=environment, log=log, folder=BASE_DIR))
            )
            wait_until(lambda log=log: " ready." in log.read_text(), seconds=60, what="one more worker")
        yield pids


def measure(
    site: Supervised, kind: str, bodies: load.Bodies, clients: int, asked: argparse.Namespace, *, more: list[int]
) -> Row:
    url = f"{site.url}api/v1/submissions"
    offset = clients * 37  # another beginning for each row
    warm = load.run(url, bodies, clients=clients, seconds=WARMING_SECONDS, core=asked.load_core, offset=offset)
    pids = {part: [site.part(part).pid] for part in PARTS}
    pids["predictions"] += more
    batches, before = batches_so_far(site), {part: processes.processor_seconds(some) for part, some in pids.items()}
    loaded = load.run(
        url, bodies, clients=clients, seconds=asked.seconds, core=asked.load_core, offset=offset + warm.answered
    )
    spent = {part: processes.processor_seconds(some) - before[part] for part, some in pids.items()}
    answered, count = (after - before for after, before in zip(batches_so_far(site), batches, strict=True))
    each = pictures.BATCH if kind == "hundred" else 1
    stored = max(1, (loaded.answered + loaded.later) * each)
    row = Row(
        kind=kind,
        pictures=each,
        load=loaded,
        batch=answered / count if count else 0.0,
        processor_milliseconds={part: seconds * 1000 / stored for part, seconds in spent.items()},
        megabytes={part: processes.megabytes(some) for part, some in pids.items()},
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


def batches_so_far(site: Supervised) -> tuple[float, float]:
    """Submissions that were answered, and batches in which that was done, as /metrics counts them."""
    with site.client() as client:
        text = client.get("metrics").raise_for_status().text
    sums = [re.search(rf"^digits_batch_size_{what} (\S+)$", text, re.MULTILINE) for what in ("sum", "count")]
    return tuple(float(found[1]) if found else 0.0 for found in sums)


def after_idling(site: Supervised, bodies: load.Bodies) -> list[float]:
    """Milliseconds of requests that come when no shift runs any more."""
    times = []
    with load.Connection(site.url) as connection:
        for number in range(FIRST_REQUESTS):
            time.sleep(float(SETTINGS["WORKER_IDLE_SECONDS"]) + 1)  # measures the first request after an idle time
            connection.ask("GET", "/healthz")  # the connection is there already
            body = (bodies.folder / str(number)).read_bytes()
            status, milliseconds = connection.ask("POST", "/api/v1/submissions", body, bodies.content_type)
            if status not in (201, 207):
                raise load.LoadError(f"The first request after idling was answered {status}.")
            times.append(milliseconds)
    return times


def everything_is_stored(data: Path) -> str:
    """Wait until every submission has its answer, and say how many there are and how many have none."""
    with contextlib.closing(sqlite3.connect(f"file:{next(data.glob('*.sqlite3'))}?mode=ro", uri=True)) as database:

        def count(state: str) -> int:
            return database.execute(
                f"SELECT count(*) FROM recognizer_submission WHERE state {state} 'predicted'"  # noqa: S608  ours
            ).fetchone()[0]

        with contextlib.suppress(AssertionError):
            wait_until(lambda: count("<>") == 0, seconds=60, what="the last answers")
        lost = count("<>")
        return f"{count('=')} submissions stored and answered" + (f", {lost} lost" if lost else ", none lost")


def plot(rows: list[Row], path: Path) -> None:
    """Pictures a second and median latency against clients, a line for each kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    speed, latency = figure.subplots(1, 2)
    for kind in dict.fromkeys(row.kind for row in rows):
        mine = [row for row in rows if row.kind == kind]
        clients = [row.load.clients for row in mine]
        speed.plot(clients, [row.load.per_second * row.pictures for row in mine], marker="o", label=kind)
        latency.plot(clients, [row.load.p50 for row in mine], marker="o", label=kind)
        latency.plot(clients, [row.load.p99 for row in mine], linestyle=":", color=latency.lines[-1].get_color())
    for axes, title in ((speed, "pictures a second"), (latency, "ms: median, and dotted the 99th percentile")):
        axes.set(xscale="log", yscale="log", xlabel="clients", title=title)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
