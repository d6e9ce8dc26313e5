"""Honest users during an attack, and a record of their responses."""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

import httpx
import numpy as np

from tests.image_samples import encoded, photo

# Addresses of honest clients; attackers use 127.0.0.2 to 127.0.0.9.
ADDRESSES = ("127.0.0.20", "127.0.0.21", "127.0.0.22")
TIMEOUT_SECONDS = 30.0
PAUSE_SECONDS = 0.2


@dataclass
class Record:
    """Responses to honest users; written by all of their threads.

    Attributes:
        seconds: duration of each response, by kind of request.
        ids: public ids of accepted submissions.
        busy: number of 503 responses with Retry-After.
        failures: all other errors.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ids: list[str] = field(default_factory=list)
    busy: int = 0
    failures: list[str] = field(default_factory=list)

    def percentile(self, kind: str, share: float) -> float:
        ordered = sorted(self.seconds[kind])
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    def summary(self) -> str:
        lines = [
            f"{kind:8} {len(values):6} responses, median {self.percentile(kind, 0.5) * 1000:7.0f} ms, "
            f"p99 {self.percentile(kind, 0.99) * 1000:7.0f} ms, longest {max(values) * 1000:7.0f} ms"
            for kind, values in sorted(self.seconds.items())
        ]
        return "\n".join([*lines, f"accepted {len(self.ids)}, busy {self.busy}, failures {len(self.failures)}"])


class HonestUsers:
    """Three users draw, one uploads photos, one reads pages and the health check; active within the context."""

    def __init__(self, url: str) -> None:
        self.record = Record()
        self._url = url
        self._stop = threading.Event()
        activities = [self._draw, self._draw, self._draw, self._upload, self._read]
        self._threads = [
            threading.Thread(target=self._use, args=(activity, ADDRESSES[number % len(ADDRESSES)], number), daemon=True)
            for number, activity in enumerate(activities)
        ]

    def __enter__(self) -> Record:
        for thread in self._threads:
            thread.start()
        return self.record

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_SECONDS)

    def _use(self, activity: Callable[[httpx.Client, np.random.Generator], None], address: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        transport = httpx.HTTPTransport(local_address=address, verify=False, retries=1)
        with httpx.Client(base_url=self._url, transport=transport, timeout=TIMEOUT_SECONDS) as client:
            while not self._stop.is_set():
                try:
                    activity(client, rng)
                except httpx.HTTPError as error:
                    self.record.failures.append(f"{activity.__name__}: {error!r}")
                self._stop.wait(PAUSE_SECONDS)

    def _draw(self, client: httpx.Client, rng: np.random.Generator) -> None:
        x, y = rng.integers(40, 240, (2, 40)).cumsum(axis=1) / np.arange(1, 41)
        self._send(client, "draw", json={"strokes": [[x.round().tolist(), y.round().tolist()]]})

    def _upload(self, client: httpx.Client, rng: np.random.Generator) -> None:
        data = encoded(photo(1200, 900, seed=int(rng.integers(1_000_000))), "JPEG")
        self._send(client, "photo", files={"image": ("photo.jpg", data, "image/jpeg")})

    def _send(self, client: httpx.Client, kind: str, **body: object) -> None:
        response = self._measure(kind, lambda: client.post("/api/v1/submissions", **body))
        if response.status_code in (201, 202):
            self.record.ids.append(response.json()["id"])
        else:
            self._record_failure(kind, response)

    def _read(self, client: httpx.Client, _rng: np.random.Generator) -> None:
        for kind, path in (("page", "/"), ("health", "/healthz")):
            response = self._measure(kind, lambda path=path: client.get(path))
            if response.status_code != 200 and not (kind == "health" and response.status_code == 404):
                self._record_failure(kind, response)

    def _measure(self, kind: str, request: Callable[[], httpx.Response]) -> httpx.Response:
        started = time.monotonic()
        response = request()
        self.record.seconds[kind].append(time.monotonic() - started)
        return response

    def _record_failure(self, kind: str, response: httpx.Response) -> None:
        if response.status_code == 503 and "Retry-After" in response.headers:
            self.record.busy += 1
        else:
            self.record.failures.append(f"{kind}: {response.status_code} {response.text[:200]}")
