"""The serving side, called by shifts: take a batch, give the answers back, hold and hand over the lease."""

import base64
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from django.conf import settings

from ml.serving.classifier import Answer
from recognizer.services.inference import tally

from .asking import START_LEASE_SECONDS, call_worker, new_token
from .connection import HEARTBEAT_LIFE_SECONDS, PREVIEWS, QUEUE, SHIFTS, WORKERS, link
from .replies import KEPT_SECONDS

log = logging.getLogger(__name__)

# A worker that was killed costs the others as long as its lease runs. Renewed it is with the first batch after
# RENEWAL_SECONDS, and at least twice a second.
LEASE_SECONDS, RENEWAL_SECONDS = 2.0, 0.25
# The worker's main loop, and a shift in its stead, says every HEARTBEAT_SECONDS that the worker lives.
HEARTBEAT_SECONDS = 1.0
# Longest wait for the next item; then a shift looks whether the worker was told to stop.
POP_SECONDS = 0.5
# So many answers wait at most to be popped: more than a process takes time to pop, and few enough for the next one who
# waits there to look through.
MOST_REPLIES = 1000


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """A picture that somebody is drawing at this moment: 28x28 uint8 and the evidence about its ink.

    Attributes:
        key: the answer's, on the list `reply_to`.
    """

    key: str
    reply_to: str
    pixels: np.ndarray
    ink: Mapping


@dataclass(frozen=True, slots=True)
class Batch:
    """What one pop brought: submissions or, when none waited, previews.

    Attributes:
        asked: ids, each with the list on which its answer is waited for; empty where nobody waits.
    """

    asked: Sequence[tuple[int, str]] = ()
    previews: Sequence[PreviewRequest] = ()

    def __bool__(self) -> bool:
        return bool(self.asked or self.previews)

    @property
    def ids(self) -> list[int]:
        return [pk for pk, _ in self.asked]


class ShiftLease:
    """The lease that a shift holds on the list. Not thread-safe: it belongs to one shift.

    Attributes:
        wanted: somebody called for this very shift, and lately; False for a message that comes late.
    """

    def __init__(self, token: str, worker: str) -> None:
        self._token, self._worker = token, worker
        self._link = link()
        self._clock = 0.0
        self._sums = tally.Sums()
        self._renewed = float("-inf")
        self.wanted = False

    def begin(self) -> bool:
        """Take the lease. False: others serve already, this shift is not needed."""
        what, now = self._link.push(QUEUE, (), token=self._token, lease=LEASE_SECONDS)
        self._clock = now - time.monotonic()
        self.wanted = what == "known"
        return what != "none"

    def pop(self, seconds: float) -> Batch:
        """Up to `PREDICTION_BATCH` submissions, or as many previews if none waits; empty after `seconds`."""
        # BLMPOP waits for ever when told to wait for 0.
        seconds = max(seconds, 0.001)
        [popped] = self._link.execute(
            ("BLMPOP", seconds, 2, QUEUE, PREVIEWS, "LEFT", "COUNT", settings.PREDICTION_BATCH), seconds=seconds
        )
        if popped is None:
            return Batch()
        key, items = popped
        if key.decode() == QUEUE:
            return Batch(asked=[_asked(item) for item in items])
        return Batch(previews=[request for item in items if (request := self._fresh(item)) is not None])

    def answer(self, batch: Batch, answers: Mapping[int, bytes]) -> None:
        """Send the answers of a batch to whoever waits, and renew the lease when it is time.

        Who waits for a submission that has no answer here, because it had one before or is gone, hears to read the row.
        """
        replies: dict[str, list[bytes]] = {}
        for pk, address in batch.asked:
            if address:
                replies.setdefault(address, []).append(b"%d %b" % (pk, answers.get(pk, b"")))
        self._send(replies)
        self.count(answers)

    def answer_previews(self, answered: Sequence[tuple[PreviewRequest, Answer]]) -> None:
        replies: dict[str, list[bytes]] = {}
        for request, answer in answered:
            said = f"{request.key} {json.dumps(asdict(answer))}"
            replies.setdefault(request.reply_to, []).append(said.encode())
        self._send(replies)

    def count(self, answers: Mapping[int, bytes]) -> None:
        """Note what was answered, and renew the lease when it is time."""
        if answers:
            self._sums.add(answers.values())
        if time.monotonic() - self._renewed >= RENEWAL_SECONDS:
            self.renew()

    def renew(self) -> None:
        """Hold the lease and the heartbeat for longer, and hand in what was counted."""
        self._renewed = time.monotonic()
        now = self._now()
        self._link.execute(
            ("ZADD", SHIFTS, now + LEASE_SECONDS, self._token),
            ("ZADD", WORKERS, now + HEARTBEAT_LIFE_SECONDS, self._worker),
            *self._sums.take(),
        )

    def end(self) -> bool:
        """Give the lease back if nothing waits. False: something does, go on."""
        self._hand_in()
        return self._link.end(self._token, successor="", lease=0, always=False) == "over"

    def hand_over(self, *, always: bool) -> None:
        """Give the lease to a shift to come, and call it. Without `always` only if something waits."""
        self._hand_in()
        successor = new_token()
        if self._link.end(self._token, successor=successor, lease=START_LEASE_SECONDS, always=always) == "handed over":
            call_worker(successor)

    def drop(self) -> None:
        """Give the lease back, whatever waits: the shift failed, and the next push shall call for another one."""
        self._link.redis.zrem(SHIFTS, self._token)

    def _send(self, replies: Mapping[str, Sequence[bytes]]) -> None:
        if not replies:
            return
        commands: list[tuple] = []
        for address, items in replies.items():
            commands += [("RPUSH", address, *items), ("EXPIRE", address, KEPT_SECONDS)]
        lengths = self._link.execute(*commands)[::2]
        # Nobody pops where nobody waits any more.
        full = [address for address, length in zip(replies, lengths, strict=True) if length > MOST_REPLIES]
        if full:
            self._link.execute(*(("LTRIM", address, -MOST_REPLIES, -1) for address in full))

    def _hand_in(self) -> None:
        if self._sums:
            self._link.execute(*self._sums.take())

    def _now(self) -> float:
        """Redis's time as this process can tell it without asking."""
        return self._clock + time.monotonic()

    def _fresh(self, item: bytes) -> PreviewRequest | None:
        until, _, body = item.partition(b" ")
        if float(until) < self._now():
            return None
        given = json.loads(body)
        if "reply_to" not in given:
            return None  # a process of an older version, which nothing can reach any more, drew it
        pixels = np.frombuffer(base64.b64decode(given["pixels"]), np.uint8).reshape(28, 28)
        return PreviewRequest(key=given["key"], reply_to=given["reply_to"], pixels=pixels, ink=given["ink"])


def _asked(item: bytes) -> tuple[int, str]:
    pk, _, address = item.partition(b" ")
    return int(pk), address.decode()


def heartbeat(worker: str) -> None:
    """Say that `worker` lives. Called by the worker's main loop; does nothing while Redis is known to be frozen."""
    there = link()
    if there.circuit.is_open():
        return
    seconds, microseconds = there.redis.time()
    now = seconds + microseconds / 1e6
    pipe = there.redis.pipeline(transaction=False)
    pipe.zadd(WORKERS, {worker: now + HEARTBEAT_LIFE_SECONDS})
    pipe.zremrangebyscore(WORKERS, "-inf", now)
    pipe.execute()


def farewell(worker: str) -> None:
    """Say that `worker` stops, so that nobody waits for it."""
    link().redis.zrem(WORKERS, worker)
