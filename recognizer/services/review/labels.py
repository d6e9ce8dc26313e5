"""Labels: what people say a picture shows, and which truth follows from all that was said.

Suggestions (a visitor's word) move a submission up the review queue and never train. Reviews (the word of anybody
with the review permission) settle it.
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

# Second opinions are asked for only where somebody is there to give one.
ACTIVE_REVIEWER_DAYS = 30


# Neither a retraction, which has no value, nor retracted. (Asked for `retracts IS NULL`, SQLite would look it up in
# that column's unique index, where nearly every row is null.)
ACTIVE = {"stands": True, "value__gt": "", "retraction__isnull": True}


class LabelError(ValueError):
    """What was said cannot be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class LabelInput:
    """What somebody is about to say of one submission, and why it was in front of them."""

    submission: Submission
    value: str
    reason: LabelReason


def create_label(*, actor: Actor, submission: Submission, value: str, reason: LabelReason) -> Label:
    """Record what `actor` says `submission` shows, and work out its truth anew.

    A person's newer word replaces the older one without erasing it; the same one again is the one that stands.

    Raises:
        LabelError: `value` is none of TruthValue, or the submission was deleted meanwhile.
        NotAllowedError: the actor neither owns the submission nor may review.
    """
    return create_label_if_changed(actor=actor, submission=submission, value=value, reason=reason)[0]


@limit_rate(Kind.CHANGE)
@transaction.atomic
def create_label_if_changed(
    *, actor: Actor, submission: Submission, value: str, reason: LabelReason
) -> tuple[Label, bool]:
    """The same, and whether that is news: whoever repeats their last word about a submission has said nothing new."""
    if permissions.can_label(actor, submission) and lock([submission]):
        last = last_labels(actor, [submission]).get(submission.pk)
        if last is not None and (last.value, last.kind) == (value, _kind_of_word(actor)):
            return last, False
    added = create_labels(actor=actor, words=[LabelInput(submission, value, reason)])
    if not added:
        raise LabelError("This was deleted meanwhile.")
    return added[0], True


def _kind_of_word(actor: Actor) -> LabelKind:
    return LabelKind.REVIEW if actor.is_reviewer else LabelKind.SUGGESTION


@transaction.atomic
def create_labels(
    *, actor: Actor, words: Sequence[LabelInput], locked: Collection[Submission] | None = None
) -> list[Label]:
    """The same for many submissions, with as many queries as for one: all are recorded or, if one is refused, none.

    No operation by itself: those that call it count themselves. What was deleted meanwhile is left out of what is
    returned.

    Args:
        locked: what `lock` returned of these submissions, where the caller holds them already.
    """
    for value in {word.value for word in words}:
        if value not in TruthValue.values:
            raise LabelError(f"{value!r} is not a label. Use one of: {', '.join(TruthValue.values)}.")
    if not all(permissions.can_label(actor, word.submission) for word in words):
        raise NotAllowedError("Only whoever drew it, or a reviewer, can say what this picture shows.")
    if locked is None:
        locked = lock([word.submission for word in words])
    present = {submission.pk for submission in locked} & {word.submission.pk for word in words}
    kind = _kind_of_word(actor)
    quotas.consume(actor=actor, submissions=0, size=len(present) * quotas.LABEL_ROW_BYTES)
    added = Label.objects.bulk_create(
        Label(
            submission=word.submission,
            kind=kind,
            value=word.value,
            user=actor.user,
            visitor="" if actor.user else actor.visitor,
            reason=word.reason,
        )
        for word in words
        if word.submission.pk in present
    )
    if kind == LabelKind.REVIEW:
        _cast_votes(added)
    update_consensus([label.submission for label in added], with_copies=kind == LabelKind.REVIEW)
    return added


def _cast_votes(reviews: Sequence[Label]) -> None:
    """Make new reviews of one person the ones that count for their pictures."""
    last = {label.submission.digest: label for label in reviews}
    Vote.objects.bulk_create(
        [Vote(digest=digest, user=label.user, label=label) for digest, label in last.items()],
        update_conflicts=True,
        unique_fields=["digest", "user"],
        update_fields=["label"],
    )


@limit_rate(Kind.CHANGE)
def retract(*, actor: Actor, label: Label) -> Label:
    """Take back one's own word. What was said before it counts again.

    Raises:
        NotAllowedError: it is somebody else's label, or a review and they came with a token that is not good for those.
        LabelError: it is a retraction, or retracted already.
    """
    return add_retraction(actor=actor, label=label)


@transaction.atomic
def add_retraction(*, actor: Actor, label: Label) -> Label:
    """Retract a label as part of another operation. Raises as `retract` does."""
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
    """What this account said and did not take back, the newest first."""
    return Label.objects.filter(user=actor.user, **ACTIVE).order_by("-id")


def last_labels(actor: Actor, submissions: Collection[Submission]) -> dict[int, Label]:
    """Return this person's last standing label of each submission that has one, by the submission's id."""
    own = {"user": actor.user} if actor.user else {"user": None, "visitor": actor.visitor}
    # One look for each kind: an index leads to it directly, and the cost does not grow with the labels.
    last = [
        Subquery(
            Label.objects.filter(submission=OuterRef("pk"), kind=kind, **own, **ACTIVE).order_by("-id").values("pk")[:1]
        )
        for kind in LabelKind
    ]
    rows = Submission.objects.filter(pk__in=[submission.pk for submission in submissions]).order_by()
    ids = {pk: max(filter(None, found), default=None) for pk, *found in rows.values_list("pk", *last)}
    labels = Label.objects.in_bulk([pk for pk in ids.values() if pk])
    return {submission: labels[pk] for submission, pk in ids.items() if pk}


def lock(submissions: Collection[Submission]) -> list[Submission]:
    """Hold the rows until the transaction ends: of two who speak at once, the second sees what the first said."""
    rows = Submission.objects.select_for_update().filter(pk__in=[one.pk for one in submissions])
    return list(rows.only("pk", "digest").order_by("pk"))


def update_consensus(submissions: Collection[Submission], *, with_copies: bool = True) -> None:
    """Write the truth that follows from what was said onto the submissions and their copies.

    A review of a picture holds for every copy of it (same digest), so nobody reviews the same picture twice; a
    suggestion holds for the submission it was made on.

    Args:
        with_copies: False where only suggestions were added or retracted: no copy's truth can have changed.
    """
    digests = {submission.digest for submission in submissions}
    votes = _votes(digests)
    rows = Submission.objects.filter(
        **({"digest__in": digests} if with_copies else {"pk__in": [submission.pk for submission in submissions]})
    )
    suggestions = Label.objects.filter(submission=OuterRef("pk"), kind=LabelKind.SUGGESTION, **ACTIVE)
    last = Subquery(suggestions.order_by("-id").values("value")[:1])
    reviewers = _Reviewers()
    changed = defaultdict(list)
    truths = {}
    for row in rows.only("digest", "truth", "truth_state", "digit", "verdict").annotate(suggestion=last):
        truths[row.pk] = truth = _truth(row, votes[row.digest], row.suggestion, reviewers)
        if (row.truth, row.truth_state) != truth:
            changed[truth].append(row.pk)
    for (truth, state), keys in changed.items():
        Submission.objects.filter(pk__in=keys).update(truth=truth, truth_state=state)
    for submission in submissions:
        submission.truth, submission.truth_state = truths[submission.pk]


def reviewed(digests: Collection[str]) -> set[str]:
    """Return those of the digests whose pictures were reviewed, by a review that stands."""
    return {digest for digest, votes in _votes(digests).items() if votes}


def _votes(digests: Collection[str]) -> defaultdict[str, list[str]]:
    """Return what the reviewers of each picture say of it, one value each; those whose accounts are gone are one."""
    last: defaultdict[str, dict[int | None, Label]] = defaultdict(dict)
    for vote in Vote.objects.filter(digest__in=digests).select_related("label"):
        label = vote.label if vote.label_id and vote.label and vote.label.stands else _counted_again(vote)
        other = last[vote.digest].get(vote.user_id)
        if label is not None and (other is None or other.pk < label.pk):
            last[vote.digest][vote.user_id] = label
    return defaultdict(list, {digest: [one.value for one in votes.values()] for digest, votes in last.items()})


def _counted_again(vote: Vote) -> Label | None:
    """Return the review that counts now that the vote's own was retracted or deleted; without one the vote goes."""
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
    """Settle what waits for a second opinion that nobody is there any more to give; how many that were."""
    if _Reviewers().active > 1:
        return 0
    reviews = Label.objects.filter(submission=OuterRef("pk"), kind=LabelKind.REVIEW, **ACTIVE)
    waiting = Submission.objects.filter(Exists(reviews), truth_state=TruthState.PROVISIONAL)
    rows = list(waiting.only("digest"))
    update_consensus(rows)
    return len(rows)


class _Reviewers:
    """How many people reviewed lately; asked at most once, and seldom at all."""

    @cached_property
    def active(self) -> int:
        since = timezone.now() - timedelta(days=ACTIVE_REVIEWER_DAYS)
        lately = Label.objects.filter(user=OuterRef("pk"), kind=LabelKind.REVIEW, created__gte=since)
        return get_user_model().objects.filter(Exists(lately), is_active=True).count()


def _truth(
    submission: Submission, reviews: list[str], suggestion: str | None, reviewers: _Reviewers
) -> tuple[str, TruthState]:
    if not reviews:
        return (suggestion, TruthState.PROVISIONAL) if suggestion else ("", TruthState.NONE)
    votes = Counter(reviews).most_common()
    if len(votes) > 1 and votes[0][1] == votes[1][1]:
        return "", TruthState.DISPUTED
    value, count = votes[0]
    if count == 1 and _contradicts_a_sure_answer(submission, value) and reviewers.active > 1:
        return value, TruthState.PROVISIONAL
    return value, TruthState.SETTLED


def _contradicts_a_sure_answer(submission: Submission, value: str) -> bool:
    return submission.verdict == Verdict.SURE and value != str(submission.digit)
