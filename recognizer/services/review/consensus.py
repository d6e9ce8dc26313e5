"""Consensus of the labels of an image.

Suggestions move a submission up the review queue and are not used for training. Reviews settle it. A review of an image
applies to all copies of it (same digest), so that no image has to be reviewed twice; a suggestion applies to its own
submission only.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import cache

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet, Subquery
from django.utils import timezone

from recognizer.models import Label, LabelKind, Submission, TruthState, Verdict, Vote

# Second opinions are required only if there is another reviewer who was active in this time.
ACTIVE_REVIEWER_DAYS = 30


def apply_labels(labels: Sequence[Label]) -> None:
    """Update the consensus after new labels of one person and kind. Reviews become the votes for their images."""
    is_review = labels[0].kind == LabelKind.REVIEW
    if is_review:
        last = {label.submission.digest: label for label in labels}
        Vote.objects.bulk_create(
            [Vote(digest=digest, user=label.user, label=label) for digest, label in last.items()],
            update_conflicts=True,
            unique_fields=["digest", "user"],
            update_fields=["label"],
        )
    update_consensus([label.submission for label in labels], with_copies=is_review)


def update_consensus(submissions: Collection[Submission], *, with_copies: bool = True) -> None:
    """Update the consensus of the submissions and their copies from their labels.

    Args:
        submissions: Submissions whose labels changed.
        with_copies: Whether reviews changed; suggestions do not change the consensus of copies.
    """
    digests = {submission.digest for submission in submissions}
    votes = _votes(digests)
    rows: QuerySet[Submission] = Submission.objects.filter(
        **({"digest__in": digests} if with_copies else {"pk__in": [submission.pk for submission in submissions]})
    )
    suggestions = Label.objects.active().filter(submission=OuterRef("pk"), kind=LabelKind.SUGGESTION)
    last = Subquery(suggestions.order_by("-id").values("value")[:1])
    count_reviewers = cache(count_active_reviewers)  # rarely needed
    changed = defaultdict(list)
    truths = {}
    for row in rows.only("digest", "truth", "truth_state", "digit", "verdict").annotate(suggestion=last):
        truths[row.pk] = truth = _compute_consensus(row, votes[row.digest], row.suggestion, count_reviewers)
        if (row.truth, row.truth_state) != truth:
            changed[truth].append(row.pk)
    for (value, state), keys in changed.items():
        Submission.objects.filter(pk__in=keys).update(truth=value, truth_state=state)
    for submission in submissions:
        submission.truth, submission.truth_state = truths[submission.pk]


def reviewed_digests(digests: Collection[str]) -> set[str]:
    """Return the digests among `digests` whose images have an active review."""
    return {digest for digest, votes in _votes(digests).items() if votes}


def _votes(digests: Collection[str]) -> defaultdict[str, list[str]]:
    """Return the votes for each image, one value per reviewer. Reviewers with deleted accounts count as one."""
    last: defaultdict[str, dict[int | None, Label]] = defaultdict(dict)
    for vote in Vote.objects.filter(digest__in=digests).select_related("label"):
        label = vote.label if vote.label_id and vote.label and vote.label.stands else _replace_vote(vote)
        previous = last[vote.digest].get(vote.user_id)
        if label is not None and (previous is None or previous.pk < label.pk):
            last[vote.digest][vote.user_id] = label
    return defaultdict(list, {digest: [label.value for label in votes.values()] for digest, votes in last.items()})


def _replace_vote(vote: Vote) -> Label | None:
    """Replace the retracted or deleted label of a vote by the reviewer's previous review, or delete the vote."""
    reviews = Label.objects.active().reviews().filter(submission=OuterRef("pk"), user=vote.user_id)
    last = Subquery(reviews.order_by("-id").values("pk")[:1])
    newest = Submission.objects.filter(digest=vote.digest).aggregate(newest=Max(last))["newest"]
    if newest is None:
        Vote.objects.filter(pk=vote.pk).delete()
        return None
    Vote.objects.filter(pk=vote.pk).update(label=newest)
    return Label.objects.get(pk=newest)


@transaction.atomic
def resolve_single_reviewer() -> int:
    """Settle submissions that wait for a second opinion, if there is no second active reviewer.

    Returns:
        The number of submissions that waited.
    """
    if count_active_reviewers() > 1:
        return 0
    reviews = Label.objects.active().reviews().filter(submission=OuterRef("pk"))
    rows = list(Submission.objects.filter(Exists(reviews), truth_state=TruthState.PROVISIONAL).only("digest"))
    update_consensus(rows)
    return len(rows)


def count_active_reviewers() -> int:
    """Return the number of accounts that reviewed in the last ACTIVE_REVIEWER_DAYS days."""
    since = timezone.now() - timedelta(days=ACTIVE_REVIEWER_DAYS)
    recent = Label.objects.reviews().filter(user=OuterRef("pk"), created__gte=since)
    return get_user_model().objects.filter(Exists(recent), is_active=True).count()


def _compute_consensus(
    submission: Submission, reviews: list[str], suggestion: str | None, count_reviewers: Callable[[], int]
) -> tuple[str, TruthState]:
    """Return the consensus and its state from the votes for an image and the last suggestion for its submission."""
    if not reviews:
        return (suggestion, TruthState.PROVISIONAL) if suggestion else ("", TruthState.NONE)
    votes = Counter(reviews).most_common()
    if len(votes) > 1 and votes[0][1] == votes[1][1]:
        return "", TruthState.DISPUTED
    value, count = votes[0]
    contradicts = submission.verdict == Verdict.SURE and value != str(submission.digit)
    needs_second_opinion = count == 1 and contradicts and count_reviewers() > 1
    return value, TruthState.PROVISIONAL if needs_second_opinion else TruthState.SETTLED
