"""The load generators of the benchmarks: wrk, with bodies from a folder, and single requests.

wrk is a Debian and a Homebrew package. It is written in C and so costs a fraction of what it measures.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

SCRIPT = Path(__file__).with_name("load.lua")
# No request waits longer; one that does counts as an error.
TIMEOUT_SECONDS = 20


class LoadError(RuntimeError):
    """The load could not be made; the message says what to do."""


@dataclass(frozen=True)
class Bodies:
    """Request bodies, each in a file of `folder` that is named 0, 1, 2 …, and what they are."""

    folder: Path
    content_type: str

    @classmethod
    def written(cls, folder: Path, content_type: str, bodies: Sequence[bytes]) -> "Bodies":
        folder.mkdir(parents=True)
        for number, body in enumerate(bodies):
            (folder / str(number)).write_bytes(body)
        return cls(folder, content_type)


@dataclass(frozen=True)
class Load:
    """What came of it.

    Attributes:
        clients: connections that were open, each with one request at a time.
        per_second: answers with status 200, 201 or 207 a second.
        p50, p99, longest: milliseconds from sending a request to the end of its answer.
        later: answers with status 202: stored, but predicted later than the request waited.
        errors: answers with any other status, and requests without an answer.
        statuses: how many answers had which status.
    """

    clients: int
    seconds: float
    answered: int
    per_second: float
    p50: float
    p99: float
    longest: float
    later: int
    errors: int
    statuses: dict[str, int]

    def as_dict(self) -> dict:
        return asdict(self)


class Connection:
    """A connection for requests one by one, at moments of the caller's own choosing.

    It sends bytes that were put together before the clock runs, and looks at no more than the length of the answer: a
    client library takes a millisecond for each request, and three when it has not been used for a while.
    """

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host = address.netloc
        self._socket = socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def ask(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> tuple[int, float]:
        """The status of the answer, and the milliseconds from sending the request to the end of the answer.

        Raises:
            LoadError: what came is no answer.
        """
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
        request = head.encode() + body
        started = time.perf_counter()
        self._socket.sendall(request)
        answer = b""
        while (length := _length_of(answer)) is None or len(answer) < length:
            came = self._socket.recv(1 << 20)
            if not came:
                raise LoadError(f"{method} {path}: the connection was closed after {answer[:200]!r}")
            answer += came
        return int(answer.split(maxsplit=2)[1]), (time.perf_counter() - started) * 1000


def _length_of(answer: bytes) -> int | None:
    """The bytes of a whole answer, its head included; None while the head is not there yet."""
    head, end, _ = answer.partition(b"\r\n\r\n")
    if not end:
        return None
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(head) + len(end) + int(value)
    raise LoadError(f"An answer without a length: {head!r}")


def run(url: str, bodies: Bodies, *, clients: int, seconds: float, core: int | None = None, offset: int = 0) -> Load:
    """Post to `url` for so many seconds.

    Args:
        core: the processor that the generator itself shall use.
        offset: the body to begin with, so that two runs need not send the same.

    Raises:
        LoadError: wrk is missing, or nothing answers.
    """
    if shutil.which("wrk") is None:
        raise LoadError("The load generator wrk is needed: apt-get install wrk, or brew install wrk")
    command = [
        "wrk", "--threads", "1", "--connections", str(clients), "--duration", f"{max(1, round(seconds))}s",
        "--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(SCRIPT), url,
        "--", str(bodies.folder), bodies.content_type, str(offset),
    ]  # fmt: skip
    ran = subprocess.run(pinned(command, core), capture_output=True, text=True, check=False)
    if ran.returncode:
        raise LoadError(f"{' '.join(command)}\n{ran.stderr or ran.stdout}")
    given = json.loads(ran.stdout.strip().splitlines()[-1])
    later = given["statuses"].get("202", 0)
    good = sum(given["statuses"].get(status, 0) for status in ("200", "201", "207"))
    taken = given["microseconds"] / 1e6
    return Load(
        clients=clients,
        seconds=taken,
        answered=good,
        per_second=good / taken,
        p50=given["p50"] / 1000,
        p99=given["p99"] / 1000,
        longest=given["max"] / 1000,
        later=later,
        errors=sum(given["statuses"].values()) - good - later + given["socket_errors"],
        statuses=given["statuses"],
    )


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """The same command, kept on one processor where the system can do that."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        return list(command)
    return ["taskset", "--cpu-list", str(core), *command]
