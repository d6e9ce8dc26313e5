"""Counts of submissions for the `stats` operation of the API."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count

from recognizer.models import Source, SubmissionState, TruthState, Verdict
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.registry import versions

# The first columns of the index `submission_truth`; in another order the database would sort all rows.
GROUPS = ("truth_state", "truth", "digit", "verdict", "source", "state")


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of the submissions that an actor may see.

    Attributes:
        live_version: Number of the live model version.
        submissions: Number of submissions.
        by_state: Counts by state.
        by_source: Counts by source.
        by_truth_state: Counts by state of the consensus.
        by_digit: Counts of predicted submissions by digit of the latest prediction.
        by_verdict: Counts of predicted submissions by verdict of the latest prediction.
        settled: Number of predicted submissions with a settled label.
        settled_correct: Number of these whose latest prediction is correct. Not an accuracy on real traffic, because
            reviewers mostly see submissions with a high doubt.
    """

    live_version: int
    submissions: int
    by_state: dict[str, int]
    by_source: dict[str, int]
    by_truth_state: dict[str, int]
    by_digit: dict[str, int]
    by_verdict: dict[str, int]
    settled: int
    settled_correct: int


def stats_for(actor: Actor) -> Stats:
    """Count the submissions that `actor` may see, in one pass over an index with the columns of `GROUPS`."""
    groups = permissions.visible_submissions(actor).order_by().values_list(*GROUPS).annotate(Count("pk"))
    counts: dict[str, Counter[str | int | None]] = {column: Counter() for column in GROUPS}
    settled: Counter[bool] = Counter()
    for *values, count in groups:
        truth_state, truth, digit, *_ = values
        for column, value in zip(GROUPS, values, strict=True):
            if digit is not None or column != "verdict":
                counts[column][value] += count
        if digit is not None and truth_state == TruthState.SETTLED:
            settled[truth == str(digit)] += count
    return Stats(
        live_version=versions.live_version().number,
        submissions=counts["state"].total(),
        by_state={name: counts["state"][name] for name in SubmissionState.values},
        by_source={name: counts["source"][name] for name in Source.values},
        by_truth_state={name: counts["truth_state"][name] for name in TruthState.values},
        by_digit={str(digit): counts["digit"][digit] for digit in range(10)},
        by_verdict={name: counts["verdict"][name] for name in Verdict.values},
        settled=settled.total(),
        settled_correct=settled[True],
    )
