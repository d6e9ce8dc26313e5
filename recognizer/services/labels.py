"""Labels: what people say a picture shows, and which truth follows from all that was said.

Suggestions (a visitor's word) move a submission up the review queue and never train. Reviews (the word of anybody
with the review permission) settle it. Called by the pages, the API and the review queue.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
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
)

from . import access
from .access import NotAllowedError
from .actors import Actor
from .throttling import Kind, limit_rate

# Second opinions are asked for only where somebody is there to give one.
ACTIVE_REVIEWER_DAYS = 30


# Neither a retraction, which has no value, nor retracted. (Asked for `retracts IS NULL`, SQLite would look it up in
# that column's unique index, where nearly every row is null.)
STANDING = {"value__gt": "", "retraction__isnull": True}


class LabelError(ValueError):
    """What was said cannot be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody is about to say of one submission, and why it was in front of them."""

    submission: Submission
    value: str
    reason: LabelReason


def label(*, actor: Actor, submission: Submission, value: str, reason: LabelReason) -> Label:
    """Record what `actor` says `submission` shows, and work out its truth anew.

    A person's newer word replaces the older one without erasing it; the same one again is the one that stands.

    Raises:
        LabelError: `value` is none of TruthValue, or the submission was deleted meanwhile.
        NotAllowedError: the actor neither owns the submission nor may review.
    """
    return label_once(actor=actor, submission=submission, value=value, reason=reason)[0]


@limit_rate(Kind.CHANGE)
@transaction.atomic
def label_once(*, actor: Actor, submission: Submission, value: str, reason: LabelReason) -> tuple[Label, bool]:
    """The same, and whether that is news: whoever repeats their last word about a submission has said nothing new."""
    if access.can_label(actor, submission) and lock([submission]):
        said = Label.objects.filter(submission=submission, **STANDING)
        mine = said.filter(user=actor.user) if actor.user else said.filter(user=None, visitor=actor.visitor)
        last = mine.order_by("-id").first()
        if last is not None and (last.value, last.kind) == (value, _kind_of_word(actor)):
            return last, False
    added = label_many(actor=actor, words=[Word(submission, value, reason)])
    if not added:
        raise LabelError("This was deleted meanwhile.")
    return added[0], True


def _kind_of_word(actor: Actor) -> LabelKind:
    return LabelKind.REVIEW if actor.is_reviewer else LabelKind.SUGGESTION


@transaction.atomic
def label_many(*, actor: Actor, words: Sequence[Word]) -> list[Label]:
    """The same for many submissions, with as many queries as for one: all are recorded or, if one is refused, none.

    No operation by itself: those that call it count themselves. What was deleted meanwhile is left out of what is
    returned.
    """
    for value in {word.value for word in words}:
        if value not in TruthValue.values:
            raise LabelError(f"{value!r} is not a label. Use one of: {', '.join(TruthValue.values)}.")
    if not all(access.can_label(actor, word.submission) for word in words):
        raise NotAllowedError("Only whoever drew it, or a reviewer, can say what this picture shows.")
    there = {submission.pk for submission in lock([word.submission for word in words])}
    added = Label.objects.bulk_create(
        Label(
            submission=word.submission,
            kind=_kind_of_word(actor),
            value=word.value,
            user=actor.user,
            visitor="" if actor.user else actor.visitor,
            reason=word.reason,
        )
        for word in words
        if word.submission.pk in there
    )
    settle([label.submission for label in added])
    return added


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
    if not access.said(actor, label):
        raise NotAllowedError("You can take back only what you said yourself.")
    if label.kind == LabelKind.REVIEW and not actor.came_for(Scope.REVIEW):
        raise NotAllowedError("Taking a review back needs a token with the scope review.")
    [submission] = lock([label.submission])
    if label.retracts_id or Label.objects.filter(retracts=label).exists():
        raise LabelError("This was taken back already.")
    retraction = Label.objects.create(
        submission=submission,
        kind=label.kind,
        retracts=label,
        user=label.user,
        visitor=label.visitor,
        reason=label.reason,
    )
    settle([submission])
    return retraction


def standing(actor: Actor) -> QuerySet[Label]:
    """What this account said and did not take back, the newest first."""
    return Label.objects.filter(user=actor.user, **STANDING).order_by("-id")


def lock(submissions: Collection[Submission]) -> list[Submission]:
    """Hold the rows until the transaction ends: of two who speak at once, the second sees what the first said."""
    rows = Submission.objects.select_for_update().filter(pk__in=[one.pk for one in submissions])
    return list(rows.only("pk", "digest").order_by("pk"))


def settle(submissions: Collection[Submission]) -> None:
    """Write the truth that follows from what was said onto the submissions and their copies.

    A review of a picture holds for every copy of it (same digest), so nobody reviews the same picture twice; a
    suggestion holds for the submission it was made on.
    """
    digests = {submission.digest for submission in submissions}
    copies = list(
        Submission.objects.filter(digest__in=digests).only("digest", "truth", "truth_state", "digit", "verdict")
    )
    digest_of = {copy.pk: copy.digest for copy in copies}
    reviews, suggestions = defaultdict(dict), {}
    said = Label.objects.filter(submission__in=digest_of, **STANDING)
    for one in said.order_by("id"):
        if one.kind == LabelKind.REVIEW:
            # The last word of each person.
            reviews[digest_of[one.submission_id]][one.user_id, one.visitor] = one.value
        else:
            suggestions[one.submission_id] = one.value
    reviewers = _Reviewers()
    changed = defaultdict(list)
    truths = {}
    for copy in copies:
        votes = list(reviews[copy.digest].values())
        truths[copy.pk] = truth = _truth(copy, votes, suggestions.get(copy.pk), reviewers)
        if (copy.truth, copy.truth_state) != truth:
            changed[truth].append(copy.pk)
    for (truth, state), keys in changed.items():
        Submission.objects.filter(pk__in=keys).update(truth=truth, truth_state=state)
    for submission in submissions:
        submission.truth, submission.truth_state = truths[submission.pk]


@transaction.atomic
def settle_unseconded() -> int:
    """Settle what waits for a second opinion that nobody is there any more to give; how many that were."""
    if _Reviewers().active > 1:
        return 0
    reviews = Label.objects.filter(submission=OuterRef("pk"), kind=LabelKind.REVIEW, **STANDING)
    waiting = Submission.objects.filter(Exists(reviews), truth_state=TruthState.PROVISIONAL)
    rows = list(waiting.only("digest"))
    settle(rows)
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
