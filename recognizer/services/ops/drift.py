"""Drift detection: distributions of digits and certainty in recent predictions, compared with earlier ones.

Uses the population stability index, the sum of (p - q) ln(p / q) over the bins: below 0.1 there is no significant
change, above 0.25 there is (N. Siddiqi, Credit Risk Scorecards, 2006, chapter 8).
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from recognizer.models import Submission, SubmissionState, Verdict

# Number of recent predictions, and of the predictions before them that they are compared with.
RECENT_COUNT, REFERENCE_COUNT = 500, 3_000
# Minimum number of predictions in each of the two samples.
MIN_PREDICTIONS = 100
CERTAINTY_EDGES = (0.5, 0.8, 0.95, 0.99, 0.999)

# Digit, certainty and verdict of a prediction.
Row = tuple[int, float, str]


@dataclass(frozen=True, slots=True)
class Drift:
    """Drift of recent predictions. Values are None while there are too few predictions.

    Attributes:
        answers: Number of recent predictions.
        digits: Stability index of the digits.
        certainty: Stability index of the certainty.
        mean_certainty: Mean certainty of recent predictions.
        sure_share: Share of recent predictions with the verdict "sure".
    """

    answers: int
    digits: float | None = None
    certainty: float | None = None
    mean_certainty: float | None = None
    sure_share: float | None = None


def measure() -> Drift:
    """Measure the drift of the latest predictions."""
    predicted = Submission.objects.filter(state=SubmissionState.PREDICTED).order_by("-id")
    columns = predicted.values_list("digit", "certainty", "verdict")[: RECENT_COUNT + REFERENCE_COUNT]
    rows = cast("list[Row]", list(columns))  # a predicted submission has no null in these columns
    recent, reference = rows[:RECENT_COUNT], rows[RECENT_COUNT:]
    if len(recent) < MIN_PREDICTIONS:
        return Drift(len(recent))
    is_comparable = len(reference) >= MIN_PREDICTIONS
    return Drift(
        answers=len(recent),
        digits=stability_index(_by_digit(recent), _by_digit(reference)) if is_comparable else None,
        certainty=stability_index(_by_certainty(recent), _by_certainty(reference)) if is_comparable else None,
        mean_certainty=sum(certainty for _, certainty, _ in recent) / len(recent),
        sure_share=sum(verdict == Verdict.SURE for _, _, verdict in recent) / len(recent),
    )


def stability_index(counts: Sequence[int], reference: Sequence[int]) -> float:
    """Return the population stability index of two histograms with the same bins.

    Half an observation is added to each bin, so that empty bins give finite values.
    """
    total, total_reference = sum(counts) + len(counts) / 2, sum(reference) + len(reference) / 2
    shares = [
        ((count + 0.5) / total, (other + 0.5) / total_reference) for count, other in zip(counts, reference, strict=True)
    ]
    return sum((p - q) * math.log(p / q) for p, q in shares)


def _by_digit(rows: Sequence[Row]) -> list[int]:
    counts = Counter(digit for digit, _, _ in rows)
    return [counts[digit] for digit in range(10)]


def _by_certainty(rows: Sequence[Row]) -> list[int]:
    counts = Counter(bisect_right(CERTAINTY_EDGES, certainty) for _, certainty, _ in rows)
    return [counts[index] for index in range(len(CERTAINTY_EDGES) + 1)]
