"""Load generators of the benchmarks: wrk with bodies from a folder, and a connection for single requests.

wrk is a package of Debian and of Homebrew. It is written in C and uses a fraction of the processor time of a server.
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
# A request that takes longer counts as an error.
TIMEOUT_SECONDS = 20


class LoadError(RuntimeError):
    """The load generator is missing or a request failed."""


@dataclass(frozen=True)
class Bodies:
    """Request bodies in files of `folder` that are named 0, 1, 2 …, and their content type."""

    folder: Path
    content_type: str

    @classmethod
    def write(cls, folder: Path, content_type: str, bodies: Sequence[bytes]) -> "Bodies":
        """Write the bodies to a new folder."""
        folder.mkdir(parents=True)
        for number, body in enumerate(bodies):
            (folder / str(number)).write_bytes(body)
        return cls(folder, content_type)


@dataclass(frozen=True)
class Load:
    """Result of a load test.

    Attributes:
        clients: Number of open connections, each with one request at a time.
        seconds: Length of the test.
        answered: Number of responses with status 200, 201 or 207.
        per_second: The same for each second.
        p50: Median milliseconds from sending a request to the end of its response.
        p99: 99th percentile of the same.
        longest: Maximum of the same.
        later: Number of responses with status 202: stored, but not predicted within the request's timeout.
        errors: Number of responses with any other status, and of requests without a response.
        statuses: Number of responses by status.
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

    def as_dict(self) -> dict[str, object]:
        """Return the attributes as a dict for JSON."""
        return asdict(self)


class Connection:
    """A connection for single requests at chosen moments.

    The request is assembled before the clock starts and only the length of the response is parsed: a client library
    takes a millisecond for each request, and three after an idle period.
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

    def request(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> tuple[int, float]:
        """Send a request; return the status and the milliseconds from sending it to the end of the response.

        Raises:
            LoadError: If the connection is closed or the response has no length.
        """
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
        message = head.encode() + body
        started = time.perf_counter()
        self._socket.sendall(message)
        answer = b""
        while (length := _length_of(answer)) is None or len(answer) < length:
            chunk = self._socket.recv(1 << 20)
            if not chunk:
                raise LoadError(f"{method} {path}: the connection was closed after {answer[:200]!r}")
            answer += chunk
        return int(answer.split(maxsplit=2)[1]), (time.perf_counter() - started) * 1000


def _length_of(answer: bytes) -> int | None:
    """Return the length of a whole response with its head in bytes, or None while the head is incomplete."""
    head, end, _ = answer.partition(b"\r\n\r\n")
    if not end:
        return None
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(head) + len(end) + int(value)
    raise LoadError(f"A response without a length: {head!r}")


def run(url: str, bodies: Bodies, *, clients: int, seconds: float, core: int | None = None, offset: int = 0) -> Load:
    """Post the bodies in turn with wrk.

    Args:
        url: Address to post to.
        bodies: Request bodies.
        clients: Number of connections, each with one request at a time.
        seconds: Length of the test, rounded to whole seconds.
        core: Processor to pin the load generator to.
        offset: Number of the first body, so that two runs need not send the same ones.

    Raises:
        LoadError: If wrk is missing or the server does not respond.
    """
    if shutil.which("wrk") is None:
        raise LoadError("The load generator wrk is needed: apt-get install wrk, or brew install wrk")
    command = [
        "wrk", "--threads", "1", "--connections", str(clients), "--duration", f"{max(1, round(seconds))}s",
        "--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(SCRIPT), url,
        "--", str(bodies.folder), bodies.content_type, str(offset),
    ]  # fmt: skip
    process = subprocess.run(pinned(command, core), capture_output=True, text=True, check=False)
    if process.returncode:
        raise LoadError(f"{' '.join(command)}\n{process.stderr or process.stdout}")
    result = json.loads(process.stdout.strip().splitlines()[-1])
    later = result["statuses"].get("202", 0)
    good = sum(result["statuses"].get(status, 0) for status in ("200", "201", "207"))
    elapsed = result["microseconds"] / 1e6
    return Load(
        clients=clients,
        seconds=elapsed,
        answered=good,
        per_second=good / elapsed,
        p50=result["p50"] / 1000,
        p99=result["p99"] / 1000,
        longest=result["max"] / 1000,
        later=later,
        errors=sum(result["statuses"].values()) - good - later + result["socket_errors"],
        statuses=result["statuses"],
    )


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """Return the command pinned to one processor, where the system supports that."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        return list(command)
    return ["taskset", "--cpu-list", str(core), *command]
