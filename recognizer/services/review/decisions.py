"""Decisions of reviewers on items of the queue: label, skip and undo.

All of them are idempotent, so clients may repeat a request whose response was lost.
"""

from collections.abc import Collection, Mapping

from django.db import transaction

from recognizer.models import Label, LabelReason, Lease, Skip, Submission
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.throttling import Kind, limit_rate

from . import labels, queue
from .labels import LabelError, LabelInput
from .queue import ReviewItem


def decide(*, actor: Actor, submission: Submission, value: str, default_reason: LabelReason) -> Label:
    """Label a submission as a reviewer, and release its lease.

    Args:
        actor: The reviewer.
        submission: The submission.
        value: The label, a value of `TruthValue`.
        default_reason: Reason of the label if the reviewer has no lease on the submission.

    Raises:
        LabelError: `value` is not a label, or the submission was deleted.
        NotAllowedError: The actor may not review.
    """
    added = decide_many(actor=actor, values={submission: value}, default_reason=default_reason)
    if not added:
        raise LabelError("This was deleted meanwhile.")
    return added[0]


@limit_rate(Kind.CHANGE)
@transaction.atomic
def decide_many(
    *,
    actor: Actor,
    values: Mapping[Submission, str],
    default_reason: LabelReason,
    undecided: Collection[Submission] = (),
) -> list[Label]:
    """Label several submissions as a reviewer, all or none of them, and release their leases.

    Args:
        actor: The reviewer.
        values: The label of each submission.
        default_reason: Reason of the labels of submissions on which the reviewer has no lease.
        undecided: Submissions that the reviewer saw and did not label, whose leases are released too.

    Returns:
        The labels, without those of submissions that were deleted.

    Raises:
        LabelError: One of the values is not a label.
        NotAllowedError: The actor may not review.
    """
    permissions.require_reviewer(actor)
    locked = labels.lock(values)
    leases = Lease.objects.filter(reviewer=actor.user, submission__in=values)
    leased_reasons = dict(leases.values_list("submission", "reason"))
    previous = labels.last_labels(actor, values)
    result, inputs = [], []
    for submission, value in values.items():
        last = previous.get(submission.pk)
        if submission.pk in leased_reasons:
            inputs.append(LabelInput(submission, value, LabelReason(leased_reasons[submission.pk])))
        elif last is None:
            inputs.append(LabelInput(submission, value, default_reason))
        elif last.value != value:
            # A corrected label keeps the reason for which its submission was shown.
            inputs.append(LabelInput(submission, value, LabelReason(last.reason)))
        else:
            result.append(last)
    if inputs:
        result += labels.create_labels(actor=actor, inputs=inputs, locked=locked)
    Lease.objects.filter(reviewer=actor.user, submission__in=[*values, *undecided]).delete()
    return result


@limit_rate(Kind.CHANGE)
@transaction.atomic
def skip(*, actor: Actor, submission: Submission) -> None:
    """Skip a submission: this reviewer sees it again only if the queue is otherwise empty."""
    permissions.require_reviewer(actor)
    Lease.objects.filter(reviewer=actor.user, submission=submission).delete()
    Skip.objects.get_or_create(reviewer=actor.user, submission=submission)


@limit_rate(Kind.CHANGE)
@transaction.atomic
def undo(*, actor: Actor, submission: Submission) -> ReviewItem | None:
    """Retract the actor's label or skip of a submission, and lease the submission to them again.

    Returns:
        The leased item, or None if another reviewer has a lease on it.
    """
    permissions.require_reviewer(actor)
    Skip.objects.filter(reviewer=actor.user, submission=submission).delete()
    label = labels.last_labels(actor, [submission]).get(submission.pk)
    if label is not None:
        labels.add_retraction(actor=actor, label=label)
    shown = label or Lease.objects.filter(reviewer=actor.user, submission=submission).first()
    reason = shown.reason if shown is not None else LabelReason.NEWEST
    return queue.renew_lease(actor=actor, submission=submission, reason=LabelReason(reason))


def last_decided(actor: Actor) -> Submission | None:
    """Return the submission of the actor's newest review that was not retracted."""
    last = labels.active_labels(actor).filter(reason__in=QUEUE_REASONS).select_related("submission").first()
    return last.submission if last else None


QUEUE_REASONS = (*queue.RULES, *queue.BLIND_REASONS, LabelReason.SUGGESTION, LabelReason.GRID)
