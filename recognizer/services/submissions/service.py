"""Submissions: create, preview, share and delete images and drawings.

Invalid input raises `SubmissionRejectedError` before anything is stored.
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db.models import F

from ml.preprocessing import FRAME, Prepared
from ml.readings import Reading
from ml.serving.verdicts import Answer
from recognizer.models import Source, Submission
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.idempotency import Claim
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.identity.throttling import Kind, limit_rate
from recognizer.services.inference import producer
from recognizer.services.lib.fair_slots import FairSlots

from . import intake, writer
from .bulk_delete import delete_submissions
from .intake import SubmissionInput

# Concurrent previews are few, because submissions have priority. A program with 32 connections still gets slots, and a
# preview that waits longer would show an outdated drawing.
MAX_PREVIEWS, MAX_WAITING_PREVIEWS, PREVIEW_WAIT_SECONDS = 12, 32, 1.0
_preview_slots = FairSlots(
    MAX_PREVIEWS,
    max_waiting=MAX_WAITING_PREVIEWS,
    busy="Too many drawings are being looked at right now. Please try again in a moment.",
)


@dataclass(frozen=True, slots=True)
class Preview:
    """The preprocessed image and its prediction; `answer` is None if the image is blank or no worker is available."""

    prepared: Prepared
    answer: Answer | None

    @property
    def reading(self) -> Reading:
        """The reading of the image that the model chose; the plain one without an answer."""
        return self.prepared.readings[self.answer.reading if self.answer else 0]


# --- Create ----------------------------------------------------------------------------------------------------------


def create_submission(
    *, actor: Actor, payload: SubmissionInput, claim: Claim | None = None, wait: bool = False, timeout: float = 0.0
) -> Submission:
    """Store a submission and enqueue it for prediction.

    The arguments and the result are those of `writer.store_input`. With a timeout of 0 the caller waits by
    `producer.enqueue_and_wait`.

    Raises:
        NotAllowedError: the site requires an account and the actor has none.
        Exception: as `writer.store_input`; nothing was stored.
    """
    if not payload.demo:
        permissions.require_submitter(actor)
    return writer.store_input(payload, actor=actor, claim=claim, wait=wait, timeout=timeout)


def create_from_strokes(
    *,
    actor: Actor,
    strokes: object,
    source: Source,
    frame: float = FRAME,
    may_train: bool = True,
    demo: bool = False,
) -> Submission:
    """Store a drawing; see `create_submission`."""
    return create_submission(
        actor=actor,
        payload=SubmissionInput(source=source, strokes=strokes, frame=frame, may_train=may_train, demo=demo),
    )


def preview(*, actor: Actor, payload: SubmissionInput) -> Preview:
    """Predict an image or drawing without storing it.

    Raises:
        SubmissionRejectedError: as `create_submission`; a blank image is not an error.
        BusyError: too many previews are being predicted, or too many large images decoded.
        Exception: as `intake.prepare_preview`.
    """
    permissions.require_submitter(actor)
    prepared = intake.prepare_preview(payload, actor=actor)
    with _preview_slots.slot(actor.caller_key, seconds=PREVIEW_WAIT_SECONDS):
        answer = None if prepared.is_empty else producer.preview(prepared, timeout=settings.PREDICTION_WAIT_SECONDS)
    return Preview(prepared, answer)


# --- Change and delete -----------------------------------------------------------------------------------------------


def delete(*, actor: Actor, submission: Submission) -> None:
    """Delete a submission with its predictions and labels, and its image unless another submission has an equal one.

    Raises:
        NotAllowedError: the actor may not delete it.
    """
    delete_many(actor=actor, rows=[submission])


@limit_rate(Kind.CHANGE)
def delete_many(*, actor: Actor, rows: Collection[Submission]) -> None:
    """Delete several submissions as `delete` does, as one operation.

    Raises:
        NotAllowedError: the actor may not delete all of them; none was deleted.
    """
    if not all(permissions.can_delete(actor, row) for row in rows):
        raise NotAllowedError("Only the person who sent it, or an operator, can delete this.")
    delete_submissions(Submission.objects.filter(pk__in=[row.pk for row in rows]))


@limit_rate(Kind.CHANGE)
def revoke_read_key(*, actor: Actor, submission: Submission) -> None:
    """Revoke the submission's read key, and with it every URL that contains it.

    Raises:
        NotAllowedError: the submission belongs to another person.
    """
    if not permissions.can_share(actor, submission):
        raise NotAllowedError("Only the person who sent it can revoke its read key.")
    Submission.objects.filter(pk=submission.pk).update(read_key_revocations=F("read_key_revocations") + 1)
    submission.refresh_from_db(fields=["read_key_revocations"])


@limit_rate(Kind.CHANGE)
def share(*, actor: Actor, submission: Submission) -> str:
    """Return the key of the submission's share link, which lets anyone view it until `unshare`; create it if needed.

    Raises:
        NotAllowedError: the submission belongs to another person.
    """
    if not permissions.can_share(actor, submission):
        raise NotAllowedError("Only the person who sent it can share this.")
    # A concurrent call does not replace the key.
    Submission.objects.filter(pk=submission.pk, share_key="").update(share_key=secrets.token_urlsafe(18))
    submission.refresh_from_db(fields=["share_key"])
    return submission.share_key


@limit_rate(Kind.CHANGE)
def unshare(*, actor: Actor, submission: Submission) -> None:
    """Revoke the submission's share link; a later `share` creates another key.

    Raises:
        NotAllowedError: the submission belongs to another person.
    """
    if not permissions.can_share(actor, submission):
        raise NotAllowedError("Only the person who sent it can stop sharing this.")
    submission.share_key = ""
    submission.save(update_fields=["share_key"])
