"""Consumer side of the prediction queue: pop batches, send replies, hold and transfer the lease."""

import base64
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings

from ml.serving.classifier import Answer
from recognizer.services.inference import tally

from .asking import START_LEASE_SECONDS, call_worker, new_token
from .connection import HEARTBEAT_LIFE_SECONDS, PREVIEWS, QUEUE, SHIFTS, WORKERS, link
from .replies import REPLY_LIFE_SECONDS

log = logging.getLogger(__name__)

# After a worker is killed, no other session starts until its lease has expired. The lease is renewed with the first
# batch after RENEWAL_SECONDS, and at least twice a second.
LEASE_SECONDS, RENEWAL_SECONDS = 2.0, 0.25
# Interval of the heartbeat, which comes from the worker's main loop or, while that is blocked, from the worker session.
HEARTBEAT_SECONDS = 1.0
# Longest wait for the next item, and so the longest delay until a session notices that the worker should stop.
POP_SECONDS = 0.5
# Maximum length of a reply list; older replies are trimmed, because no thread pops them.
MAX_REPLIES = 1000


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """A request to predict an image that is not stored.

    Attributes:
        key: Key of the reply.
        reply_to: Name of the reply list.
        pixels: The image, (28, 28) uint8.
        ink: Image features from preprocessing.
    """

    key: str
    reply_to: str
    pixels: npt.NDArray[np.uint8]
    ink: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """Items of one pop: submissions or, if none were queued, previews.

    Attributes:
        asked: Submission ids, each with the name of its reply list, which is empty if no thread waits.
        previews: Preview requests.
    """

    asked: Sequence[tuple[int, str]] = ()
    previews: Sequence[PreviewRequest] = ()

    def __bool__(self) -> bool:
        return bool(self.asked or self.previews)

    @property
    def ids(self) -> list[int]:
        """Ids of the submissions."""
        return [pk for pk, _ in self.asked]


class ShiftLease:
    """The lease that a worker session holds on the queue. Not thread-safe.

    Attributes:
        wanted: Whether this session's lease was still current at the start; False for a message that was late.
    """

    def __init__(self, token: str, worker: str) -> None:
        self._token, self._worker = token, worker
        self._link = link()
        self._clock = 0.0
        self._sums = tally.Sums()
        self._renewed = float("-inf")
        self.wanted = False

    def begin(self) -> bool:
        """Acquire the lease. Returns False if enough other sessions are running."""
        outcome, now = self._link.push(QUEUE, (), token=self._token, lease=LEASE_SECONDS)
        self._clock = now - time.monotonic()
        self.wanted = outcome == "known"
        return outcome != "none"

    def pop(self, seconds: float) -> Batch:
        """Pop up to `PREDICTION_BATCH` submissions or, if there are none, previews; empty after `seconds`."""
        # BLMPOP with a timeout of 0 blocks indefinitely.
        seconds = max(seconds, 0.001)
        [popped] = self._link.execute(
            ("BLMPOP", seconds, 2, QUEUE, PREVIEWS, "LEFT", "COUNT", settings.PREDICTION_BATCH), seconds=seconds
        )
        if popped is None:
            return Batch()
        key, items = popped
        if key.decode() == QUEUE:
            return Batch(asked=[_parse_item(item) for item in items])
        return Batch(previews=[request for item in items if (request := self._parse_preview(item)) is not None])

    def answer(self, batch: Batch, answers: Mapping[int, bytes]) -> None:
        """Send the results of a batch, and renew the lease if it is due.

        Submissions without a result in this batch (predicted before, or deleted) get an empty reply, which tells the
        waiter to read the row.

        Args:
            batch: The batch.
            answers: Messages by submission id.
        """
        replies: dict[str, list[bytes]] = {}
        for pk, address in batch.asked:
            if address:
                replies.setdefault(address, []).append(b"%d %b" % (pk, answers.get(pk, b"")))
        self._send(replies)
        self.count(answers)

    def answer_previews(self, answered: Sequence[tuple[PreviewRequest, Answer]]) -> None:
        """Send the predictions of previews."""
        replies: dict[str, list[bytes]] = {}
        for request, answer in answered:
            reply = f"{request.key} {json.dumps(asdict(answer))}"
            replies.setdefault(request.reply_to, []).append(reply.encode())
        self._send(replies)

    def count(self, answers: Mapping[int, bytes]) -> None:
        """Count the results of a batch, and renew the lease if it is due."""
        if answers:
            self._sums.add(answers.values())
        if time.monotonic() - self._renewed >= RENEWAL_SECONDS:
            self.renew()

    def renew(self) -> None:
        """Renew the lease and the heartbeat, and flush the counters."""
        self._renewed = time.monotonic()
        now = self._now()
        self._link.execute(
            ("ZADD", SHIFTS, now + LEASE_SECONDS, self._token),
            ("ZADD", WORKERS, now + HEARTBEAT_LIFE_SECONDS, self._worker),
            *self._sums.take(),
        )

    def end(self) -> bool:
        """Release the lease if the queue is empty. Returns False if it is not, and the session must continue."""
        self._flush_counts()
        return self._link.end(self._token, successor="", lease=0, always=False) == "over"

    def hand_over(self, *, always: bool) -> None:
        """Transfer the lease to a new session and start it.

        Args:
            always: Whether to do so even if the queue is empty.
        """
        self._flush_counts()
        successor = new_token()
        if self._link.end(self._token, successor=successor, lease=START_LEASE_SECONDS, always=always) == "handed over":
            call_worker(successor)

    def drop(self) -> None:
        """Release the lease of a failed session unconditionally, so that the next push starts another one."""
        self._link.redis.zrem(SHIFTS, self._token)

    def _send(self, replies: Mapping[str, Sequence[bytes]]) -> None:
        if not replies:
            return
        commands: list[tuple[Any, ...]] = []
        for address, items in replies.items():
            commands += [("RPUSH", address, *items), ("EXPIRE", address, REPLY_LIFE_SECONDS)]
        lengths = self._link.execute(*commands)[::2]
        # The process that owned a full list has ended, or no longer waits.
        full = [address for address, length in zip(replies, lengths, strict=True) if length > MAX_REPLIES]
        if full:
            self._link.execute(*(("LTRIM", address, -MAX_REPLIES, -1) for address in full))

    def _flush_counts(self) -> None:
        if self._sums:
            self._link.execute(*self._sums.take())

    def _now(self) -> float:
        """Return Redis's time, estimated without a round trip."""
        return self._clock + time.monotonic()

    def _parse_preview(self, item: bytes) -> PreviewRequest | None:
        """Parse an item of the preview list; None if it is stale."""
        expiry, _, body = item.partition(b" ")
        if float(expiry) < self._now():
            return None
        content = json.loads(body)
        if "reply_to" not in content:
            return None  # sent by a process of an older release, which has no reply list
        pixels = np.frombuffer(base64.b64decode(content["pixels"]), np.uint8).reshape(28, 28)
        return PreviewRequest(key=content["key"], reply_to=content["reply_to"], pixels=pixels, ink=content["ink"])


def _parse_item(item: bytes) -> tuple[int, str]:
    """Split an item of the queue into submission id and name of the reply list."""
    pk, _, address = item.partition(b" ")
    return int(pk), address.decode()


def heartbeat(worker: str) -> None:
    """Renew the heartbeat of `worker` from its main loop. Does nothing while the circuit breaker is open."""
    client = link()
    if client.circuit.is_open():
        return
    seconds, microseconds = client.redis.time()
    now = seconds + microseconds / 1e6
    pipe = client.redis.pipeline(transaction=False)
    pipe.zadd(WORKERS, {worker: now + HEARTBEAT_LIFE_SECONDS})
    pipe.zremrangebyscore(WORKERS, "-inf", now)
    pipe.execute()


def farewell(worker: str) -> None:
    """Delete the heartbeat of `worker`, which stops, so that no request waits for it."""
    link().redis.zrem(WORKERS, worker)
