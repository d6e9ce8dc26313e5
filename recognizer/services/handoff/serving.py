"""The serving side, called by shifts: take a batch, give the answers back, hold and hand over the lease."""

import base64
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from django.conf import settings

from ml.classifier import Answer
from recognizer.services import tally

from .asking import START_LEASE_SECONDS, answer_key, call_worker, new_token, preview_key
from .connection import HEARTBEAT_LIFE_SECONDS, PREVIEWS, QUEUE, SHIFTS, WORKERS, link

log = logging.getLogger(__name__)

# A shift renews its lease with every batch and at least twice a second. A worker that was killed costs the others
# as long as its lease runs.
LEASE_SECONDS = 2.0
# The worker's main loop, and a shift in its stead, says every HEARTBEAT_SECONDS that the worker lives.
HEARTBEAT_SECONDS = 1.0
# Longest wait for the next item; then a shift looks whether the worker was told to stop.
POP_SECONDS = 0.5
# An answer that nobody waits for any more stays this long in Redis: longer than any request waits.
ANSWER_SECONDS = 30 + 10


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """A picture that somebody is drawing at this moment: 28x28 uint8 and the evidence about its ink."""

    key: str
    pixels: np.ndarray
    ink: Mapping


@dataclass(frozen=True, slots=True)
class Batch:
    """What one pop brought: ids of submissions, or, when none waited, previews."""

    ids: Sequence[int] = ()
    previews: Sequence[PreviewRequest] = ()

    def __bool__(self) -> bool:
        return bool(self.ids or self.previews)


class ShiftLease:
    """The lease that a shift holds on the list. Not thread-safe: it belongs to one shift.

    Attributes:
        wanted: somebody called for this very shift, and lately; False for a message that comes late.
    """

    def __init__(self, token: str, worker: str) -> None:
        self._token, self._worker = token, worker
        self._link = link()
        self._clock = 0.0
        self.wanted = False

    def begin(self) -> bool:
        """Take the lease. False: others serve already, this shift is not needed."""
        what, now = self._link.push(QUEUE, (), token=self._token, lease=LEASE_SECONDS)
        self._clock = now - time.monotonic()
        self.wanted = what == "known"
        return what != "none"

    def pop(self, seconds: float) -> Batch:
        """Up to `PREDICTION_BATCH` ids, or as many previews if no submission waits; empty after `seconds`."""
        # BLMPOP waits for ever when told to wait for 0.
        seconds = max(seconds, 0.001)
        popped = self._link.blocking(
            seconds, "BLMPOP", seconds, 2, QUEUE, PREVIEWS, "LEFT", "COUNT", settings.PREDICTION_BATCH
        )
        if popped is None:
            return Batch()
        key, items = popped
        if key.decode() == QUEUE:
            return Batch(ids=[int(item) for item in items])
        return Batch(previews=[request for item in items if (request := self._fresh(item)) is not None])

    def renew(self, answers: Mapping[int, bytes] | None = None) -> None:
        """Send the answers of a batch, if any, and hold the lease and the heartbeat for longer."""
        pipe = self._link.redis.pipeline(transaction=False)
        for pk, answer in (answers or {}).items():
            pipe.rpush(answer_key(pk), answer)
            pipe.expire(answer_key(pk), ANSWER_SECONDS)
        if answers:
            tally.add(pipe, answers)
        now = self._now()
        pipe.zadd(SHIFTS, {self._token: now + LEASE_SECONDS})
        pipe.zadd(WORKERS, {self._worker: now + HEARTBEAT_LIFE_SECONDS})
        pipe.execute()

    def answer_previews(self, answered: Sequence[tuple[PreviewRequest, Answer]]) -> None:
        pipe = self._link.redis.pipeline(transaction=False)
        for request, answer in answered:
            pipe.rpush(preview_key(request.key), json.dumps(asdict(answer)))
            pipe.expire(preview_key(request.key), ANSWER_SECONDS)
        pipe.execute()

    def end(self) -> bool:
        """Give the lease back if nothing waits. False: something does, go on."""
        return self._link.end(self._token, successor="", lease=0, always=False) == "over"

    def hand_over(self, *, always: bool) -> None:
        """Give the lease to a shift to come, and call it. Without `always` only if something waits."""
        successor = new_token()
        if self._link.end(self._token, successor=successor, lease=START_LEASE_SECONDS, always=always) == "handed over":
            call_worker(successor)

    def drop(self) -> None:
        """Give the lease back, whatever waits: the shift failed, and the next push shall call for another one."""
        self._link.redis.zrem(SHIFTS, self._token)

    def _now(self) -> float:
        """Redis's time as this process can tell it without asking."""
        return self._clock + time.monotonic()

    def _fresh(self, item: bytes) -> PreviewRequest | None:
        until, _, body = item.partition(b" ")
        if float(until) < self._now():
            return None
        given = json.loads(body)
        pixels = np.frombuffer(base64.b64decode(given["pixels"]), np.uint8).reshape(28, 28)
        return PreviewRequest(key=given["key"], pixels=pixels, ink=given["ink"])


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
