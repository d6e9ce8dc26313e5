"""Labels of submissions: record and retract. Consensus, votes and leases follow from them in the same transaction.

Labels of reviewers are reviews, those of other people suggestions. Recording is idempotent, so that clients may repeat
a request whose response was lost.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Subquery

from recognizer.models import Label, LabelKind, LabelReason, Lease, Submission, TruthValue
from recognizer.services.identity import permissions, quotas
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.identity.throttling import Kind, limit_rate

from .consensus import apply_labels, update_consensus


class LabelError(ValueError):
    """The label cannot be added or retracted; the message says why."""


@dataclass(frozen=True, slots=True)
class LabelInput:
    """A label to be recorded.

    Attributes:
        submission: The submission.
        value: The label, a value of `TruthValue`.
        reason: Why the submission was shown. A reviewer's lease on the submission and the review that this one corrects
            take precedence.
    """

    submission: Submission
    value: str
    reason: LabelReason


@dataclass(frozen=True, slots=True)
class RecordedLabel:
    """The actor's active label of a submission; `is_new` is false if it was recorded before."""

    label: Label
    is_new: bool


def record_label(*, actor: Actor, submission: Submission, value: str, reason: LabelReason) -> RecordedLabel:
    """Label one submission; see `record_labels`.

    Raises:
        LabelError: `value` is not a value of `TruthValue`, or the submission was deleted.
        NotAllowedError: The actor neither owns the submission nor may review.
    """
    recorded = record_labels(actor=actor, inputs=[LabelInput(submission, value, reason)])
    if not recorded:
        raise LabelError("This was deleted meanwhile.")
    return recorded[0]


@limit_rate(Kind.CHANGE)
@transaction.atomic
def record_labels(
    *, actor: Actor, inputs: Sequence[LabelInput], released: Collection[Submission] = ()
) -> list[RecordedLabel]:
    """Label several submissions, all or none of them. The number of queries does not depend on their number.

    A person's newer label replaces the older one, which stays in the history. A repeated label creates no row, unless
    the reviewer was shown the submission again.

    Args:
        actor: The author of the labels.
        inputs: The labels, at most one for each submission.
        released: Submissions that a reviewer saw and did not label, whose leases are released too.

    Returns:
        The labels, without those of submissions that were deleted.

    Raises:
        LabelError: One of the values is not a value of `TruthValue`.
        NotAllowedError: The actor neither owns one of the submissions nor may review.
    """
    for value in {item.value for item in inputs}:
        if value not in TruthValue.values:
            raise LabelError(f"{value!r} is not a label. Use one of: {', '.join(TruthValue.values)}.")
    if not all(permissions.can_label(actor, item.submission) for item in inputs):
        raise NotAllowedError("Only the person who drew it, or a reviewer, can say what this picture shows.")
    submissions = [item.submission for item in inputs]
    present = {submission.pk for submission in _lock(submissions)}
    kind = LabelKind.REVIEW if actor.is_reviewer else LabelKind.SUGGESTION
    leases = Lease.objects.filter(reviewer=actor.user, submission__in=[*submissions, *released])
    lease_reasons = dict(leases.values_list("submission", "reason")) if kind == LabelKind.REVIEW else {}
    last_labels = find_last_labels(actor, submissions)
    recorded = []
    for item in inputs:
        reason, last = lease_reasons.get(item.submission.pk), last_labels.get(item.submission.pk)
        if reason is None and last is not None and last.kind == kind:
            if last.value == item.value:
                last.submission = item.submission
                recorded.append(RecordedLabel(last, is_new=False))
                continue
            reason = last.reason if kind == LabelKind.REVIEW else None
        if item.submission.pk in present:
            columns = {"kind": kind, "value": item.value, "reason": reason or item.reason, **_author(actor)}
            label = Label(submission=item.submission, **columns)
            recorded.append(RecordedLabel(label, is_new=True))
    if new_labels := [row.label for row in recorded if row.is_new]:
        quotas.consume(actor=actor, submissions=0, size=len(new_labels) * quotas.LABEL_ROW_BYTES)
        Label.objects.bulk_create(new_labels)
        apply_labels(new_labels)
    if lease_reasons:
        leases.delete()
    return recorded


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
    if not permissions.can_retract(actor, label):
        raise NotAllowedError("You can take back only your own labels, and a review only with the scope review.")
    [submission] = _lock([label.submission])
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


def find_last_labels(actor: Actor, submissions: Collection[Submission]) -> dict[int, Label]:
    """Return the actor's last active label of each submission, by submission id."""
    # One index lookup for each kind, so that the cost does not grow with the number of labels.
    own = Label.objects.active().filter(submission=OuterRef("pk"), **_author(actor)).order_by("-id")
    last = [Subquery(own.filter(kind=kind).values("pk")[:1]) for kind in LabelKind]
    rows = Submission.objects.filter(pk__in=[submission.pk for submission in submissions]).order_by()
    ids = {pk: max(filter(None, label_ids), default=None) for pk, *label_ids in rows.values_list("pk", *last)}
    labels = Label.objects.in_bulk([pk for pk in ids.values() if pk])
    return {submission: labels[pk] for submission, pk in ids.items() if pk}


def _author(actor: Actor) -> dict[str, Any]:
    """Return the columns of a label that name its author."""
    return {"user": actor.user, "visitor": "" if actor.user else actor.visitor}


def _lock(submissions: Collection[Submission]) -> list[Submission]:
    """Lock the rows until the transaction ends, so that concurrent labels see each other.

    Returns:
        The submissions that still exist, with their primary key and digest only.
    """
    rows = Submission.objects.select_for_update().filter(pk__in=[submission.pk for submission in submissions])
    return list(rows.only("pk", "digest").order_by("pk"))
