"""Counters of the prediction workers, kept in Redis for /metrics.

A worker session adds up its batches and flushes the sums when it renews its lease, without a round trip of their own.
The counters restart at 0 when Redis is emptied, which Prometheus handles as a counter reset.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from . import answers

KEY = "tally"
# Upper bounds of the histogram of batch sizes, in images; one more bin holds larger batches.
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(slots=True)
class Tally:
    """Counters since Redis was empty.

    Attributes:
        answers: Number of predictions by digit and verdict.
        failed: Number of submissions that could not be predicted.
        batches: Number of batches in each bin of `BATCH_SIZES`; the last entry counts larger batches.
        model_seconds: Time spent in forward passes.
    """

    answers: dict[tuple[int, str], int] = field(default_factory=dict)
    failed: int = 0
    batches: list[int] = field(default_factory=lambda: [0] * (len(BATCH_SIZES) + 1))
    model_seconds: float = 0.0


class Sums:
    """Counts of one worker session that have not been flushed to Redis yet."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._milliseconds = 0.0

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, messages: Collection[bytes]) -> None:
        """Add one batch of messages as encoded by `recognizer.services.inference.answers`."""
        for message in messages:
            answer = answers.summary(message)
            if answer is None:
                self._counts["failed"] += 1
            else:
                digit, verdict, milliseconds = answer
                self._counts[f"answer {digit} {verdict}"] += 1
                self._milliseconds += milliseconds
        self._counts[f"batch {bisect_left(BATCH_SIZES, len(messages))}"] += 1

    def take(self) -> list[tuple[Any, ...]]:
        """Return the Redis commands that flush the counts, and reset them."""
        if not self:
            return []
        commands: list[tuple[Any, ...]] = [("HINCRBY", KEY, name, count) for name, count in self._counts.items()]
        commands.append(("HINCRBYFLOAT", KEY, "ms", self._milliseconds))
        self._counts, self._milliseconds = Counter(), 0.0
        return commands


def read(client: Redis) -> Tally:
    """Read the counters from Redis."""
    tally = Tally()
    counts: dict[bytes, bytes] = client.hgetall(KEY)  # type: ignore[assignment]  # responses are not decoded
    for name, count in counts.items():
        match name.decode().split():
            case ["answer", digit, verdict]:
                tally.answers[int(digit), verdict] = int(count)
            case ["batch", index]:
                tally.batches[int(index)] = int(count)
            case ["failed"]:
                tally.failed = int(count)
            case ["ms"]:
                tally.model_seconds = float(count) / 1000
    return tally
