"""Attackers: each repeats one kind of hostile input, from its own addresses."""

import contextlib
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from urllib.parse import urlsplit

import httpx
import numpy as np

from tests.image_samples import SEVEN, digit, png
from tests.support.malformed_files import FILES
from tests.support.malformed_files import png as large_png
from tests.support.socket_clients import ATTACKERS, connect

SUBMISSIONS, PREVIEW = "/api/v1/submissions", "/api/v1/preview"
TIMEOUT_SECONDS = 60.0
# Pause between two requests of one attacker, so that generating them does not use all of the CPU.
PAUSE_SECONDS = 0.1

Attack = Callable[[httpx.Client], object]


def json_bombs() -> Iterator[Attack]:
    """JSON that is small to send and large to parse."""
    bodies = [
        b"[" + b"{}," * 2_000_000 + b"{}]",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"strokes":[' + b"[[1],[1]]," * 500_000 + b"[[1],[1]]]}",
        b'{"' + b"a" * 5_000_000 + b'":1}',
        b'{"strokes":' + b"9" * 1_000_000 + b"}",
        b"\xff" * 1_000_000,
    ]
    for body in itertools.cycle(bodies):
        yield lambda client, body=body: client.post(
            SUBMISSIONS, content=body, headers={"Content-Type": "application/json"}
        )


def forms() -> Iterator[Attack]:
    """Forms with many fields or many files, and a body that is not a form."""
    many_fields = {f"field{number}": "x" * 100 for number in range(5000)}
    many_files = [("image", (f"{number}.png", b"", "image/png")) for number in range(500)]
    yield from itertools.cycle(
        (
            lambda client: client.post(SUBMISSIONS, data=many_fields),
            lambda client: client.post(SUBMISSIONS, files=many_files),
            lambda client: client.post("/upload/", data=many_fields),
            lambda client: client.post(
                SUBMISSIONS, content=bytes(100_000), headers={"Content-Type": "multipart/form-data; boundary=x"}
            ),
        )
    )


def odd_files() -> Iterator[Attack]:
    """Every file of the collection of malformed images."""
    for name in itertools.cycle(FILES):
        yield lambda client, animal=FILES[name]: client.post(
            SUBMISSIONS, files={"image": (animal.name, animal.make(), animal.kind)}
        )


def large_images() -> Iterator[Attack]:
    """Images of 50 megapixels in 48 KB."""
    data = large_png(7_000, 7_000, depth=1)
    yield from itertools.repeat(lambda client: client.post(SUBMISSIONS, files={"image": ("a.png", data, "image/png")}))


def large_files() -> Iterator[Attack]:
    """Files of ten megabytes: a small image followed by zeros."""
    data = png(digit(64)) + bytes(10_000_000)
    yield from itertools.repeat(lambda client: client.post(SUBMISSIONS, files={"image": ("a.png", data, "image/png")}))


def long_drawings() -> Iterator[Attack]:
    """Drawings with the maximum number of points, in a zigzag."""
    strokes = [[[20 + 240 * (n % 2) for n in range(5000)], [20 + 240 * n / 5000 for n in range(5000)]]] * 2
    yield from itertools.repeat(lambda client: client.post(SUBMISSIONS, json={"strokes": strokes}))


def previews() -> Iterator[Attack]:
    """Previews in quick succession."""
    yield from itertools.repeat(lambda client: client.post(PREVIEW, json={"strokes": SEVEN}))


def passwords() -> Iterator[Attack]:
    """Sign-in attempts with guessed names and passwords."""
    for number in itertools.count():

        def guess(client: httpx.Client, number: int = number) -> None:
            client.get("/account/login/")
            token = next((value for name, value in client.cookies.items() if name.startswith("csrftoken")), "")
            fields = {"username": f"user{number % 20}", "password": f"{number}", "csrfmiddlewaretoken": token}
            client.post("/account/login/", data=fields)

        yield guess


def odd_requests() -> Iterator[Attack]:
    """Requests with headers, URLs and methods that no browser sends."""
    requests = [
        ("GET", "/", {"Host": "elsewhere.example"}),
        ("GET", "/api/v1/me", {"Authorization": "Bearer " + "\xff" * 50}),
        ("GET", "/api/v1/submissions?cursor=" + "x" * 5000, {}),
        ("GET", "/history/?from=%00&until=%FF", {"X_Forwarded_For": "203.0.113.9"}),
        ("GET", "/" + "a/" * 1000, {"Cookie": "sessionid=" + "a" * 3000}),
        ("TRACE", "/", {}),
        ("DELETE", "/api/v1/submissions/nothing", {"Idempotency-Key": "x" * 300}),
        ("POST", "/api/v1/submissions", {"Content-Encoding": "gzip", "Content-Type": "image/png"}),
    ]
    for method, path, headers in itertools.cycle(requests):
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        yield lambda client, method=method, path=path, headers=encoded: client.request(method, path, headers=headers)


# Number of attackers of each kind.
ATTACKS = {
    json_bombs: 2,
    forms: 2,
    odd_files: 2,
    large_images: 4,
    large_files: 4,
    long_drawings: 2,
    previews: 4,
    passwords: 2,
    odd_requests: 2,
}


class Attackers:
    """All attackers, active within the context. `statuses` counts the response statuses of each kind."""

    def __init__(self, url: str) -> None:
        self.statuses: dict[str, Counter[int | str]] = {attack.__name__: Counter() for attack in ATTACKS}
        self._url = url
        self._stop = threading.Event()
        numbers = itertools.count()
        self._threads = [
            threading.Thread(target=self._attack, args=(attack, next(numbers)), daemon=True)
            for attack, count in ATTACKS.items()
            for _ in range(count)
        ]
        self._threads.append(threading.Thread(target=self._hold_idle_connections, daemon=True))

    def __enter__(self) -> "Attackers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_SECONDS)

    def _attack(self, attack: Callable[[], Iterator[Attack]], number: int) -> None:
        rng = np.random.default_rng(number)
        transport = httpx.HTTPTransport(local_address=ATTACKERS[number % len(ATTACKERS)])
        counts = self.statuses[attack.__name__]
        with httpx.Client(base_url=self._url, transport=transport, timeout=TIMEOUT_SECONDS) as client:
            for request in attack():
                if self._stop.is_set():
                    return
                try:
                    response = request(client)
                    counts[getattr(response, "status_code", 0)] += 1
                except httpx.HTTPError as error:  # the server may close the connection
                    counts[type(error).__name__] += 1
                self._stop.wait(PAUSE_SECONDS * rng.uniform(0.5, 1.5))

    def _hold_idle_connections(self) -> None:
        port = urlsplit(self._url).port
        while not self._stop.is_set():
            idle: list[socket.socket] = []
            with contextlib.suppress(OSError):
                idle += [connect(port, source=ATTACKERS[number % len(ATTACKERS)]) for number in range(300)]
                for connection in idle[::3]:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: loc")
            self._stop.wait(6)
            for connection in idle:
                connection.close()

    def summary(self) -> str:
        return "\n".join(
            f"{name:15} " + ", ".join(f"{status}: {count}" for status, count in counts.most_common())
            for name, counts in self.statuses.items()
        )
