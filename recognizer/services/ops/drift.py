"""Has what people send changed? The mix of recent answers and of their certainty, against that of those before.

By the population stability index, sum of (p - q) ln(p / q) over the bins: below 0.1 nothing happened, above 0.25
something did (N. Siddiqi, Credit Risk Scorecards, 2006, chapter 8).
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from recognizer.models import Submission, SubmissionState, Verdict

# The newest answers, and those before them that they are compared with.
RECENT, BEFORE = 500, 3_000
# Fewer than this say nothing.
MIN_PREDICTIONS = 100
CERTAINTY_EDGES = (0.5, 0.8, 0.95, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Drift:
    """`digits` and `certainty` are the two indices, None while there are too few answers; the rest is of the recent."""

    answers: int
    digits: float | None = None
    certainty: float | None = None
    mean_certainty: float | None = None
    sure_share: float | None = None


def measure() -> Drift:
    rows = list(
        Submission.objects.filter(state=SubmissionState.PREDICTED)
        .order_by("-id")
        .values_list("digit", "certainty", "verdict")[: RECENT + BEFORE]
    )
    recent, before = rows[:RECENT], rows[RECENT:]
    if len(recent) < MIN_PREDICTIONS:
        return Drift(len(recent))
    enough = len(before) >= MIN_PREDICTIONS
    return Drift(
        answers=len(recent),
        digits=stability_index(_by_digit(recent), _by_digit(before)) if enough else None,
        certainty=stability_index(_by_certainty(recent), _by_certainty(before)) if enough else None,
        mean_certainty=sum(certainty for _, certainty, _ in recent) / len(recent),
        sure_share=sum(verdict == Verdict.SURE for _, _, verdict in recent) / len(recent),
    )


def stability_index(counts: Sequence[int], reference: Sequence[int]) -> float:
    """Of two histograms with the same bins; half an observation in each bin keeps empty ones finite."""
    total, total_reference = sum(counts) + len(counts) / 2, sum(reference) + len(reference) / 2
    shares = [
        ((count + 0.5) / total, (other + 0.5) / total_reference) for count, other in zip(counts, reference, strict=True)
    ]
    return sum((p - q) * math.log(p / q) for p, q in shares)


def _by_digit(rows: Sequence[tuple]) -> list[int]:
    counts = [0] * 10
    for digit, _, _ in rows:
        counts[digit] += 1
    return counts


def _by_certainty(rows: Sequence[tuple]) -> list[int]:
    counts = [0] * (len(CERTAINTY_EDGES) + 1)
    for _, certainty, _ in rows:
        counts[bisect_right(CERTAINTY_EDGES, certainty)] += 1
    return counts
