"""Counts of what somebody sees: for the API's `stats`, and for whoever wants to know how the site is used."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count

from recognizer.models import Source, SubmissionState, TruthState, Verdict
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.registry import versions

# The first columns of the index `submission_truth`: in another order the database would sort every row.
GROUPS = ("truth_state", "truth", "digit", "verdict", "source", "state")


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of submissions; by digit and verdict those that are answered, by their latest prediction.

    `settled_correct`: of the answered ones whose truth is settled, how many were read as it. Reviewers choose what they
    look at, mostly the doubtful ones, so this is no accuracy on real traffic.
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
    """What `actor` sees, counted in one pass over an index that holds the columns in the order of `GROUPS`."""
    groups = permissions.visible_submissions(actor).order_by().values_list(*GROUPS).annotate(Count("pk"))
    states, sources, truths = Counter(), Counter(), Counter()
    digits, verdicts, settled = Counter(), Counter(), Counter()
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
