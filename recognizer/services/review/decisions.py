"""What a reviewer decides about what the queue showed: a label, passing over, taking either back.

A request that is sent again, because its answer was lost on the way,
changes nothing more: clients may repeat whatever they are not sure of.
"""

from collections.abc import Collection, Mapping

from django.db import transaction

from recognizer.models import Label, LabelReason, Lease, Skip, Submission
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.throttling import Kind, limit_rate

from . import labels, queue
from .labels import LabelError, LabelInput
from .queue import ReviewItem


def decide(*, actor: Actor, submission: Submission, value: str, otherwise: LabelReason) -> Label:
    """Say what `submission` shows, and be done with it.

    Args:
        otherwise: the label's reason where the queue did not show it, or did so too long ago.

    Raises:
        LabelError: `value` is no label, or the submission was deleted meanwhile.
        NotAllowedError: the actor may not review.
    """
    said = decide_many(actor=actor, values={submission: value}, otherwise=otherwise)
    if not said:
        raise LabelError("This was deleted meanwhile.")
    return said[0]


@limit_rate(Kind.CHANGE)
@transaction.atomic
def decide_many(
    *,
    actor: Actor,
    values: Mapping[Submission, str],
    otherwise: LabelReason,
    undecided: Collection[Submission] = (),
) -> list[Label]:
    """The same for many, all or none of them. What was deleted meanwhile is left out.

    Args:
        undecided: what the actor was shown beside these and gives back; it waits for the next reviewer.
    """
    queue.check_may_review(actor)
    locked = labels.lock(values)
    leases = Lease.objects.filter(reviewer=actor.user, submission__in=values)
    shown = dict(leases.values_list("submission", "reason"))
    standing = labels.last_labels(actor, values)
    said, words = [], []
    for submission, value in values.items():
        last = standing.get(submission.pk)
        if submission.pk in shown:
            words.append(LabelInput(submission, value, LabelReason(shown[submission.pk])))
        elif last is None:
            words.append(LabelInput(submission, value, otherwise))
        elif last.value != value:
            # Somebody who thinks better of it was shown it for the same reason as before.
            words.append(LabelInput(submission, value, LabelReason(last.reason)))
        else:
            said.append(last)
    if words:
        said += labels.create_labels(actor=actor, words=words, locked=locked)
    Lease.objects.filter(reviewer=actor.user, submission__in=[*values, *undecided]).delete()
    return said


@limit_rate(Kind.CHANGE)
@transaction.atomic
def skip(*, actor: Actor, submission: Submission) -> None:
    """Pass over `submission`: it goes to others, and to this reviewer only when nothing else is left."""
    queue.check_may_review(actor)
    Lease.objects.filter(reviewer=actor.user, submission=submission).delete()
    Skip.objects.get_or_create(reviewer=actor.user, submission=submission)


@limit_rate(Kind.CHANGE)
@transaction.atomic
def undo(*, actor: Actor, submission: Submission) -> ReviewItem | None:
    """Take back what the actor decided about `submission`, or that they passed over it, and show it again.

    Returns:
        The item, leased; None when somebody else has it in front of them now.
    """
    queue.check_may_review(actor)
    Skip.objects.filter(reviewer=actor.user, submission=submission).delete()
    said = labels.last_labels(actor, [submission]).get(submission.pk)
    if said is not None:
        labels.add_retraction(actor=actor, label=said)
    lease = Lease.objects.filter(reviewer=actor.user, submission=submission).first()
    reason = (said or lease).reason if said or lease else LabelReason.NEWEST
    return queue.renew_lease(actor=actor, submission=submission, reason=LabelReason(reason))


def last_decided(actor: Actor) -> Submission | None:
    """What the actor reviewed last and did not take back."""
    last = labels.active_labels(actor).filter(reason__in=QUEUE_REASONS).select_related("submission").first()
    return last.submission if last else None


QUEUE_REASONS = (*queue.RULES, *queue.BLIND_REASONS, LabelReason.SUGGESTION, LabelReason.GRID)
