"""Labels of submissions, and the consensus that follows from them.

Suggestions (labels of visitors) move a submission up the review queue and are not used for training. Reviews (labels
of accounts with the review permission) settle it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet, Subquery
from django.utils import timezone

from recognizer.models import (
    Label,
    LabelKind,
    LabelReason,
    Scope,
    Submission,
    TruthState,
    TruthValue,
    Verdict,
    Vote,
)
from recognizer.services.identity import permissions, quotas
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.identity.throttling import Kind, limit_rate

# Second opinions are required only if there is another reviewer who was active in this time.
ACTIVE_REVIEWER_DAYS = 30

# Labels that are neither a retraction, which has no value, nor retracted. (With `retracts IS NULL`, SQLite would use
# the unique index of that column, where nearly every row is null.)
ACTIVE = {"stands": True, "value__gt": "", "retraction__isnull": True}


class LabelError(ValueError):
    """The label cannot be added or retracted; the message says why."""


@dataclass(frozen=True, slots=True)
class LabelInput:
    """A label to be created, with the reason for which the submission was shown."""

    submission: Submission
    value: str
    reason: LabelReason


def create_label(*, actor: Actor, submission: Submission, value: str, reason: LabelReason) -> Label:
    """Label a submission, and update its consensus.

    A person's newer label replaces the older one, which stays in the history. A repeated label creates no row.

    Raises:
        LabelError: `value` is not a value of `TruthValue`, or the submission was deleted.
        NotAllowedError: The actor neither owns the submission nor may review.
    """
    return create_label_if_changed(actor=actor, submission=submission, value=value, reason=reason)[0]


@limit_rate(Kind.CHANGE)
@transaction.atomic
def create_label_if_changed(
    *, actor: Actor, submission: Submission, value: str, reason: LabelReason
) -> tuple[Label, bool]:
    """Label a submission unless the actor's last label of it is the same.

    Returns:
        The label, and whether it is new.

    Raises:
        LabelError: `value` is not a value of `TruthValue`, or the submission was deleted.
        NotAllowedError: The actor neither owns the submission nor may review.
    """
    if permissions.can_label(actor, submission) and lock([submission]):
        last = last_labels(actor, [submission]).get(submission.pk)
        if last is not None and (last.value, last.kind) == (value, _kind_of_label(actor)):
            return last, False
    added = create_labels(actor=actor, inputs=[LabelInput(submission, value, reason)])
    if not added:
        raise LabelError("This was deleted meanwhile.")
    return added[0], True


def _kind_of_label(actor: Actor) -> LabelKind:
    return LabelKind.REVIEW if actor.is_reviewer else LabelKind.SUGGESTION


@transaction.atomic
def create_labels(
    *, actor: Actor, inputs: Sequence[LabelInput], locked: Collection[Submission] | None = None
) -> list[Label]:
    """Label several submissions, all or none of them. The number of queries does not depend on their number.

    The rate limit is not applied here but by the callers.

    Args:
        actor: The author of the labels.
        inputs: The labels to create.
        locked: The result of `lock` for these submissions, if the caller has locked them already.

    Returns:
        The labels, without those of submissions that were deleted.

    Raises:
        LabelError: One of the values is not a value of `TruthValue`.
        NotAllowedError: The actor neither owns one of the submissions nor may review.
    """
    for value in {label_input.value for label_input in inputs}:
        if value not in TruthValue.values:
            raise LabelError(f"{value!r} is not a label. Use one of: {', '.join(TruthValue.values)}.")
    if not all(permissions.can_label(actor, label_input.submission) for label_input in inputs):
        raise NotAllowedError("Only whoever drew it, or a reviewer, can say what this picture shows.")
    if locked is None:
        locked = lock([label_input.submission for label_input in inputs])
    present = {submission.pk for submission in locked} & {label_input.submission.pk for label_input in inputs}
    kind = _kind_of_label(actor)
    quotas.consume(actor=actor, submissions=0, size=len(present) * quotas.LABEL_ROW_BYTES)
    added = Label.objects.bulk_create(
        Label(
            submission=label_input.submission,
            kind=kind,
            value=label_input.value,
            user=actor.user,
            visitor="" if actor.user else actor.visitor,
            reason=label_input.reason,
        )
        for label_input in inputs
        if label_input.submission.pk in present
    )
    if kind == LabelKind.REVIEW:
        _cast_votes(added)
    update_consensus([label.submission for label in added], with_copies=kind == LabelKind.REVIEW)
    return added


def _cast_votes(reviews: Sequence[Label]) -> None:
    """Make new reviews of one reviewer the votes for their images."""
    last = {label.submission.digest: label for label in reviews}
    Vote.objects.bulk_create(
        [Vote(digest=digest, user=label.user, label=label) for digest, label in last.items()],
        update_conflicts=True,
        unique_fields=["digest", "user"],
        update_fields=["label"],
    )


@limit_rate(Kind.CHANGE)
def retract(*, actor: Actor, label: Label) -> Label:
    """Retract a label of the actor. The label before it becomes active again.

    Raises:
        NotAllowedError: The label is another person's, or it is a review and the actor's token lacks the review scope.
        LabelError: The label is a retraction, or was retracted before.
    """
    return add_retraction(actor=actor, label=label)


@transaction.atomic
def add_retraction(*, actor: Actor, label: Label) -> Label:
    """Retract a label as part of another operation, without the rate limit of `retract`."""
    if not permissions.is_own_label(actor, label):
        raise NotAllowedError("You can take back only what you said yourself.")
    if label.kind == LabelKind.REVIEW and not actor.has_scope(Scope.REVIEW):
        raise NotAllowedError("Taking a review back needs a token with the scope review.")
    [submission] = lock([label.submission])
    if label.retracts_id or Label.objects.filter(retracts=label).exists():
        raise LabelError("This was taken back already.")
    quotas.consume(actor=actor, submissions=0, size=quotas.LABEL_ROW_BYTES)
    Label.objects.filter(pk=label.pk).update(stands=False)
    retraction = Label.objects.create(
        submission=submission,
        kind=label.kind,
        retracts=label,
        user=label.user,
        visitor=label.visitor,
        reason=label.reason,
        stands=False,
    )
    update_consensus([submission], with_copies=label.kind == LabelKind.REVIEW)
    return retraction


def active_labels(actor: Actor) -> QuerySet[Label]:
    """Return the labels of this account that were not retracted, newest first."""
    return Label.objects.filter(user=actor.user, **ACTIVE).order_by("-id")


def last_labels(actor: Actor, submissions: Collection[Submission]) -> dict[int, Label]:
    """Return the actor's last active label of each submission, by submission id."""
    author: dict[str, object] = {"user": actor.user} if actor.user else {"user": None, "visitor": actor.visitor}
    # One index lookup for each kind, so that the cost does not grow with the number of labels.
    last = [
        Subquery(
            Label.objects.filter(submission=OuterRef("pk"), kind=kind, **author, **ACTIVE)
            .order_by("-id")
            .values("pk")[:1]
        )
        for kind in LabelKind
    ]
    rows = Submission.objects.filter(pk__in=[submission.pk for submission in submissions]).order_by()
    ids = {pk: max(filter(None, label_ids), default=None) for pk, *label_ids in rows.values_list("pk", *last)}
    labels = Label.objects.in_bulk([pk for pk in ids.values() if pk])
    return {submission: labels[pk] for submission, pk in ids.items() if pk}


def lock(submissions: Collection[Submission]) -> list[Submission]:
    """Lock the rows until the transaction ends, so that concurrent labels see each other.

    Returns:
        The submissions that still exist, with their primary key and digest only.
    """
    rows = Submission.objects.select_for_update().filter(pk__in=[submission.pk for submission in submissions])
    return list(rows.only("pk", "digest").order_by("pk"))


def update_consensus(submissions: Collection[Submission], *, with_copies: bool = True) -> None:
    """Update the consensus of the submissions and their copies from their labels.

    A review of an image applies to all copies of it (same digest), so that no image has to be reviewed twice. A
    suggestion applies to its own submission only.

    Args:
        submissions: Submissions whose labels changed.
        with_copies: Whether reviews changed; suggestions do not change the consensus of copies.
    """
    digests = {submission.digest for submission in submissions}
    votes = _votes(digests)
    rows: QuerySet[Submission] = Submission.objects.filter(
        **({"digest__in": digests} if with_copies else {"pk__in": [submission.pk for submission in submissions]})
    )
    suggestions = Label.objects.filter(submission=OuterRef("pk"), kind=LabelKind.SUGGESTION, **ACTIVE)
    last = Subquery(suggestions.order_by("-id").values("value")[:1])
    reviewers = _Reviewers()
    changed = defaultdict(list)
    truths = {}
    for row in rows.only("digest", "truth", "truth_state", "digit", "verdict").annotate(suggestion=last):
        truths[row.pk] = truth = _compute_consensus(row, votes[row.digest], row.suggestion, reviewers)
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
    reviews = Label.objects.filter(submission=OuterRef("pk"), kind=LabelKind.REVIEW, user=vote.user_id, **ACTIVE)
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
    if _Reviewers().active > 1:
        return 0
    reviews = Label.objects.filter(submission=OuterRef("pk"), kind=LabelKind.REVIEW, **ACTIVE)
    waiting = Submission.objects.filter(Exists(reviews), truth_state=TruthState.PROVISIONAL)
    rows = list(waiting.only("digest"))
    update_consensus(rows)
    return len(rows)


class _Reviewers:
    """Lazy count of active reviewers, which is rarely needed."""

    @cached_property
    def active(self) -> int:
        """Number of accounts that reviewed in the last ACTIVE_REVIEWER_DAYS days."""
        since = timezone.now() - timedelta(days=ACTIVE_REVIEWER_DAYS)
        recent = Label.objects.filter(user=OuterRef("pk"), kind=LabelKind.REVIEW, created__gte=since)
        return get_user_model().objects.filter(Exists(recent), is_active=True).count()


def _compute_consensus(
    submission: Submission, reviews: list[str], suggestion: str | None, reviewers: _Reviewers
) -> tuple[str, TruthState]:
    """Return the consensus and its state from the votes for an image and the last suggestion for its submission."""
    if not reviews:
        return (suggestion, TruthState.PROVISIONAL) if suggestion else ("", TruthState.NONE)
    votes = Counter(reviews).most_common()
    if len(votes) > 1 and votes[0][1] == votes[1][1]:
        return "", TruthState.DISPUTED
    value, count = votes[0]
    if count == 1 and _contradicts_sure_prediction(submission, value) and reviewers.active > 1:
        return value, TruthState.PROVISIONAL
    return value, TruthState.SETTLED


def _contradicts_sure_prediction(submission: Submission, value: str) -> bool:
    return submission.verdict == Verdict.SURE and value != str(submission.digit)
