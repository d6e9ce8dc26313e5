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
    states: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    truths: Counter[str] = Counter()
    digits: Counter[int] = Counter()
    verdicts: Counter[str] = Counter()
    settled: Counter[bool] = Counter()
    for truth_state, truth, digit, verdict, source, state, count in groups:
        states[state] += count
        sources[source] += count
        truths[truth_state] += count
        if digit is None:
            continue
        digits[digit] += count
        verdicts[verdict] += count
        if truth_state == TruthState.SETTLED:
            settled[truth == str(digit)] += count
    return Stats(
        live_version=versions.live_version().number,
        submissions=states.total(),
        by_state={name: states[name] for name in SubmissionState.values},
        by_source={name: sources[name] for name in Source.values},
        by_truth_state={name: truths[name] for name in TruthState.values},
        by_digit={str(digit): digits[digit] for digit in range(10)},
        by_verdict={name: verdicts[name] for name in Verdict.values},
        settled=settled.total(),
        settled_correct=settled[True],
    )
