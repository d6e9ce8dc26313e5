"""Sixteen simulated clients that use the site during faults, and the data that it accepted from them."""

import itertools
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import numpy as np
from django.conf import settings
from django.core import signing
from PIL import Image

from tests.image_samples import digit, png

SUBMISSIONS = "/api/v1/submissions"
# Longer than any request waits: Redis may be suspended, the database may restart.
TIMEOUT_SECONDS = 30.0
# Pause between two requests, as people draw; sixteen clients must leave processor time for the site.
PAUSE_SECONDS = (0.05, 0.4)
VISITOR_SALT = "recognizer.visitor"

_numbers = itertools.count(1)


@dataclass
class Promises:
    """Data that the site has confirmed to a client. Shared by all threads."""

    submissions: dict[str, str] = field(default_factory=dict)
    labels: dict[int, tuple[str, str]] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0

    @property
    def requests(self) -> int:
        return sum(self.statuses.values()) + self.unanswered


class Person(threading.Thread):
    """Repeats an action until stopped; a failed action is not retried."""

    def __init__(self, address: Callable[[], str], promises: Promises, seed: int, over: threading.Event) -> None:
        super().__init__(daemon=True, name=f"{type(self).__name__} {seed}")
        self.chance = random.Random(seed)
        self.promises, self._over = promises, over
        self._client = httpx.Client(base_url=address(), trust_env=False, timeout=TIMEOUT_SECONDS, **self.identity())
        self.complaint: BaseException | None = None

    def identity(self) -> dict:
        """Return cookies and headers; a program has none."""
        return {}

    def act(self) -> None:
        raise NotImplementedError

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self.act()
                self._over.wait(self.chance.uniform(*PAUSE_SECONDS))
        except BaseException as error:  # noqa: BLE001 - reported by the main thread
            self.complaint = error
        finally:
            self._client.close()

    def ask(self, method: str, path: str, **options: object) -> httpx.Response | None:
        """Return the response; None if there is none or it is an error."""
        try:
            answer = self._client.request(method, path, **options)
        except httpx.TransportError:
            self.promises.unanswered += 1
            return None
        self.promises.statuses[answer.status_code] += 1
        return answer if answer.is_success else None

    def send(self, **options: object) -> str | None:
        """Send an image; return its id if it was accepted."""
        answer = self.ask("POST", SUBMISSIONS, **options)
        if answer is None:
            return None
        data = answer.json()
        self.promises.submissions[data["id"]] = answer.headers["Location"]
        return data["id"]

    def promised_label(self, answer: httpx.Response | None) -> None:
        if answer is not None:
            data = answer.json()
            self.promises.labels[data["id"]] = data["submission"], data["value"]


def strokes(chance: random.Random) -> list:
    """Return the strokes of a unique 7."""
    number = next(_numbers)
    wobble = [chance.uniform(-6, 6) for _ in range(3)]
    return [[[60, 200 + wobble[0], 120 + wobble[1]], [60, 60 + number % 97 / 10, 230 + wobble[2]]]]


class Program(Person):
    """Sends drawings through the API and reads some of them."""

    def act(self) -> None:
        public_id = self.send(json={"strokes": strokes(self.chance)})
        if public_id and self.chance.random() < 0.3:
            self.ask("GET", self.promises.submissions[public_id])


class Uploader(Person):
    """Uploads files, each with unique pixels in a corner."""

    def act(self) -> None:
        pixels = np.asarray(digit(120, seed=self.chance.randrange(20))).copy()
        pixels[:4, :8] = np.frombuffer(self.chance.randbytes(32), np.uint8).reshape(4, 8) // 8
        self.send(files={"image": png(Image.fromarray(pixels))})


class Visitor(Person):
    """Draws in a browser and labels the drawing."""

    def identity(self) -> dict:
        signer = signing.get_cookie_signer(salt=settings.VISITOR_COOKIE + VISITOR_SALT)
        return with_csrf({settings.VISITOR_COOKIE: signer.sign(secrets.token_hex(16))})

    def act(self) -> None:
        public_id = self.send(json={"strokes": strokes(self.chance)})
        if public_id:
            self.promised_label(self.ask("POST", f"{SUBMISSIONS}/{public_id}/labels", json={"value": "7"}))
        self.ask("GET", "/history/")


class Reviewer(Person):
    """Decides items of the review queue."""

    def __init__(self, session: str, *args: object) -> None:
        self._session = session
        super().__init__(*args)

    def identity(self) -> dict:
        return with_csrf({settings.SESSION_COOKIE_NAME: self._session})

    def act(self) -> None:
        answer = self.ask("POST", "/api/v1/review/next", json={"count": 3, "rule": "newest"})
        for item in answer.json()["items"] if answer else ():
            decision = {"submission": item["id"], "value": self.chance.choice("0123456789")}
            self.promised_label(self.ask("POST", "/api/v1/review/decisions", json=decision))


class Reader(Person):
    """Reads lists through the API."""

    def act(self) -> None:
        self.ask("GET", self.chance.choice(("/api/v1/models", "/api/v1/stats", "/api/v1/submissions", "/")))


def with_csrf(cookies: dict[str, str]) -> dict:
    token = secrets.token_hex(16)
    return {
        "cookies": cookies | {settings.CSRF_COOKIE_NAME: token},
        "headers": {"X-CSRFToken": token},
    }


class Watch(threading.Thread):
    """Requests the front page ten times a second and records the longest outage."""

    def __init__(self, address: str, over: threading.Event) -> None:
        super().__init__(daemon=True, name="watch")
        self._client = httpx.Client(base_url=address, trust_env=False, timeout=5)
        self._over = over
        self.longest = 0.0
        self.last = time.monotonic()

    def run(self) -> None:
        while not self._over.wait(0.1):
            try:
                is_up = self._client.get("/").status_code == 200
            except httpx.TransportError:
                is_up = False
            if is_up:
                now = time.monotonic()
                self.longest = max(self.longest, now - self.last)
                self.last = now
        self._client.close()
