"""Counters of the prediction workers, kept in Redis for /metrics.

A worker adds up its batches and flushes the sums with its heartbeat, without a round trip of their own. The counters
restart at 0 when Redis is emptied, which Prometheus handles as a counter reset.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from redis import Redis
from redis.client import Pipeline

from .result_messages import Failure, Result

KEY = "tally"
# Upper bounds of the histogram of batch sizes, in images; one more bin holds larger batches.
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(slots=True)
class Totals:
    """Counters since Redis was empty.

    Attributes:
        predictions: Number of predictions by digit and verdict.
        failed: Number of submissions that could not be predicted.
        batches: Number of batches in each bin of `BATCH_SIZES`; the last entry counts larger batches.
        model_seconds: Time spent in forward passes.
    """

    predictions: dict[tuple[int, str], int] = field(default_factory=dict)
    failed: int = 0
    batches: list[int] = field(default_factory=lambda: [0] * (len(BATCH_SIZES) + 1))
    model_seconds: float = 0.0


class Counters:
    """Counts of one worker that have not been flushed to Redis yet. Not thread-safe."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._milliseconds = 0.0

    def add(self, results: Collection[Result]) -> None:
        """Count the results of one batch."""
        if not results:
            return
        for result in results:
            if isinstance(result, Failure):
                self._counts["failed"] += 1
            else:
                self._counts[f"answer {result.record.digit} {result.record.verdict}"] += 1
                self._milliseconds += result.record.milliseconds
        self._counts[f"batch {bisect_left(BATCH_SIZES, len(results))}"] += 1

    def flush(self, pipe: Pipeline) -> None:
        """Add the commands that flush the counts to a pipeline, and reset them."""
        if not self._counts:
            return
        for name, count in self._counts.items():
            pipe.hincrby(KEY, name, count)
        pipe.hincrbyfloat(KEY, "ms", self._milliseconds)
        self._counts, self._milliseconds = Counter(), 0.0


def read(client: Redis) -> Totals:
    """Read the counters from Redis."""
    totals = Totals()
    counts: dict[bytes, bytes] = client.hgetall(KEY)  # type: ignore[assignment]  # responses are not decoded
    for name, count in counts.items():
        match name.decode().split():
            case ["answer", digit, verdict]:
                totals.predictions[int(digit), verdict] = int(count)
            case ["batch", index]:
                totals.batches[int(index)] = int(count)
            case ["failed"]:
                totals.failed = int(count)
            case ["ms"]:
                totals.model_seconds = float(count) / 1000
    return totals
