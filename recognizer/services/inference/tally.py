"""What prediction workers have answered so far, counted in Redis beside the hand-off: free to write, cheap to read.

A shift adds its batches up and hands them in when it renews its lease; /metrics reads the sums. They begin anew when
Redis is emptied, which whoever adds up counters expects; what the database holds is counted there.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from redis import Redis

from . import answers

KEY = "tally"
# Batches by size: up to so many pictures each, and larger ones.
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(slots=True)
class Tally:
    """Sums since Redis was empty.

    Attributes:
        answers: by digit and verdict.
        failed: submissions that could not be answered.
        batches: how many batches held at most so many pictures and more than the size before; the last entry: any more.
        model_seconds: spent in forward passes.
    """

    answers: dict[tuple[int, str], int] = field(default_factory=dict)
    failed: int = 0
    batches: list[int] = field(default_factory=lambda: [0] * (len(BATCH_SIZES) + 1))
    model_seconds: float = 0.0


class Sums:
    """What one shift has answered and not handed in yet."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._milliseconds = 0.0

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, messages: Collection[bytes]) -> None:
        """Add one batch of answers, as `services.inference.answers` writes them."""
        for message in messages:
            answer = answers.summary(message)
            if answer is None:
                self._counts["failed"] += 1
            else:
                digit, verdict, milliseconds = answer
                self._counts[f"answer {digit} {verdict}"] += 1
                self._milliseconds += milliseconds
        self._counts[f"batch {bisect_left(BATCH_SIZES, len(messages))}"] += 1

    def take(self) -> list[tuple]:
        """The commands that hand it in; afterwards there is nothing."""
        if not self:
            return []
        commands: list[tuple] = [("HINCRBY", KEY, name, count) for name, count in self._counts.items()]
        commands.append(("HINCRBYFLOAT", KEY, "ms", self._milliseconds))
        self._counts, self._milliseconds = Counter(), 0.0
        return commands


def read(client: Redis) -> Tally:
    tally = Tally()
    for name, count in client.hgetall(KEY).items():
        match name.decode().split():
            case ["answer", digit, verdict]:
                tally.answers[int(digit), verdict] = int(count)
            case ["batch", place]:
                tally.batches[int(place)] = int(count)
            case ["failed"]:
                tally.failed = int(count)
            case ["ms"]:
                tally.model_seconds = float(count) / 1000
    return tally
