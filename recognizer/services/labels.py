"""Labels: what people say a picture shows, and which truth follows from all that was said.

Suggestions (a visitor's word) move a submission up the review queue and never train. Reviews (the word of anybody
with the review permission) settle it. Called by the pages, the API and the review queue.
"""

from collections import Counter
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from recognizer.models import (
    Label,
    LabelKind,
    LabelReason,
    Submission,
    TruthState,
    TruthValue,
    Verdict,
)

from . import access
from .access import NotAllowedError
from .actors import Actor

# Second opinions are asked for only where somebody is there to give one.
ACTIVE_REVIEWER_DAYS = 30


class LabelError(ValueError):
    """What was said cannot be taken; the message says why."""


@transaction.atomic
def label(*, actor: Actor, submission: Submission, value: str, reason: LabelReason) -> Label:
    """Record what `actor` says `submission` shows, and work out its truth anew.

    A person's newer word replaces the older one without erasing it.

    Raises:
        LabelError: `value` is none of TruthValue.
        NotAllowedError: the actor neither owns the submission nor may review.
    """
    if value not in TruthValue.values:
        raise LabelError(f"{value!r} is not a label. Use one of: {', '.join(TruthValue.values)}.")
    if not access.can_label(actor, submission):
        raise NotAllowedError("Only whoever drew it, or a reviewer, can say what this picture shows.")
    submission = Submission.objects.select_for_update().get(pk=submission.pk)
    added = Label.objects.create(
        submission=submission,
        kind=LabelKind.REVIEW if actor.is_reviewer else LabelKind.SUGGESTION,
        value=value,
        user=actor.user,
        visitor="" if actor.user else actor.visitor,
        reason=reason,
    )
    settle(submission)
    return added


@transaction.atomic
def retract(*, actor: Actor, label: Label) -> Label:
    """Take back one's own word. What was said before it counts again.

    Raises:
        NotAllowedError: it is somebody else's label.
        LabelError: it is a retraction, or retracted already.
    """
    if not access.said(actor, label):
        raise NotAllowedError("You can take back only what you said yourself.")
    submission = Submission.objects.select_for_update().get(pk=label.submission_id)
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
    settle(submission)
    return retraction


def settle(submission: Submission) -> None:
    """Write the truth that follows from what was said onto the submission and its copies.

    A review of a picture holds for every copy of it (same digest), so nobody reviews the same picture twice; a
    suggestion holds for the submission it was made on.
    """
    copies = list(Submission.objects.filter(digest=submission.digest).select_related("latest_prediction"))
    said = Label.objects.filter(submission__in=copies, retracts__isnull=True, retraction__isnull=True).order_by("id")
    reviews = _newest_of_each([one for one in said if one.kind == LabelKind.REVIEW])
    for copy in copies:
        suggestions = [one for one in said if one.kind == LabelKind.SUGGESTION and one.submission_id == copy.pk]
        truth, state = _truth(copy, reviews, suggestions)
        if (copy.truth, copy.truth_state) != (truth, state):
            Submission.objects.filter(pk=copy.pk).update(truth=truth, truth_state=state)
        if copy.pk == submission.pk:
            submission.truth, submission.truth_state = truth, state


def _newest_of_each(said: list[Label]) -> list[Label]:
    """The last word of each person, from labels in the order in which they were said."""
    return list({(one.user_id, one.visitor): one for one in said}.values())


def _truth(submission: Submission, reviews: list[Label], suggestions: list[Label]) -> tuple[str, TruthState]:
    if not reviews:
        return (suggestions[-1].value, TruthState.PROVISIONAL) if suggestions else ("", TruthState.NONE)
    votes = Counter(one.value for one in reviews).most_common()
    if len(votes) > 1 and votes[0][1] == votes[1][1]:
        return "", TruthState.DISPUTED
    value, count = votes[0]
    if count == 1 and _contradicts_a_sure_answer(submission, value) and _active_reviewers() > 1:
        return value, TruthState.PROVISIONAL
    return value, TruthState.SETTLED


def _contradicts_a_sure_answer(submission: Submission, value: str) -> bool:
    answer = submission.latest_prediction
    return answer is not None and answer.verdict == Verdict.SURE and value != str(answer.digit)


def _active_reviewers() -> int:
    since = timezone.now() - timedelta(days=ACTIVE_REVIEWER_DAYS)
    recent = Label.objects.filter(kind=LabelKind.REVIEW, created__gte=since, user__isnull=False)
    return recent.order_by().values("user").distinct().count()
