"""Submissions: create, preview, share and delete images and drawings.

Invalid input raises `SubmissionRejectedError` before anything is stored.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from django.conf import settings
from django.db.models import F

from ml.preprocessing import FRAME, Prepared
from ml.serving.classifier import Answer
from recognizer.models import Source, Submission
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.identity.throttling import Kind, limit_rate
from recognizer.services.inference import handoff
from recognizer.services.lib.fair_slots import FairSlots

from . import intake, storing
from .bulk_delete import delete_submissions
from .intake import Crop, SubmissionInput, SubmissionRejectedError
from .storing import Within

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


# --- Create ----------------------------------------------------------------------------------------------------------


@limit_rate(Kind.SUBMIT)
def create_submission(
    *, actor: Actor, payload: SubmissionInput, within: Within | None = None, seconds: float | None = None
) -> Submission:
    """Store a submission and enqueue it for prediction.

    Args:
        actor: the sender.
        payload: the image or drawing.
        within: called with the outcome in the transaction that stores the row; an exception rolls it back.
        seconds: how long to wait for the prediction. 0: the result is not awaited. None: the caller awaits it with
            `handoff.wait_for`.

    Returns:
        The stored submission; pending, unless its prediction was ready within `seconds`.

    Raises:
        SubmissionRejectedError: the payload is invalid; nothing was stored.
        NotAllowedError: the site requires an account and the actor has none, or it was deleted during the request.
        throttling.ThrottledError: the rate limit is exceeded.
        quotas.QuotaError: the daily quota is exceeded.
        BusyError: too many large images are being decoded.
    """
    if not payload.demo:
        _check_may_submit(actor)
    opened = intake.open_input(payload)
    parcel = storing.Parcel(lambda: [intake.prepare(opened, actor=actor)], actor, within, seconds)
    if opened.is_expensive:
        parcel.prepare()
    [row] = storing.store(parcel)
    # `intake.prepare` raises for a rejected input, so the outcome is always a row.
    return cast("Submission", row)


@limit_rate(Kind.SUBMIT)
def create_submissions(
    *, actor: Actor, payloads: Sequence[SubmissionInput], within: Within | None = None, seconds: float | None = None
) -> list[Submission | SubmissionRejectedError]:
    """Store several submissions together, except rejected ones, and enqueue them; see `create_submission`.

    Returns:
        For each payload its submission, or the error that rejected it.

    Raises:
        NotAllowedError, ThrottledError, quotas.QuotaError, BusyError: nothing was stored.
    """
    _check_may_submit(actor)
    parcel = storing.Parcel(lambda: list(intake.prepare_all(payloads, actor=actor)), actor, within, seconds)
    parcel.prepare()
    return storing.store(parcel)


def create_from_image(
    *, actor: Actor, data: bytes, source: Source, crop: Crop | None = None, may_train: bool = True
) -> Submission:
    """Store an uploaded image; see `create_submission`."""
    return create_submission(
        actor=actor, payload=SubmissionInput(source=source, image=data, crop=crop, may_train=may_train)
    )


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


@limit_rate(Kind.PREVIEW)
def preview(*, actor: Actor, payload: SubmissionInput) -> Preview:
    """Predict an image or drawing without storing it.

    Raises:
        SubmissionRejectedError, NotAllowedError: as `create_submission`; a blank image is not an error.
        BusyError: too many previews are being predicted, or too many large images decoded.
    """
    _check_may_submit(actor)
    opened = intake.open_input(payload)
    # Expensive inputs wait for a decoding slot, and must not hold a preview slot during that time.
    prepared = intake.preview_input(opened, actor=actor) if opened.is_expensive else None
    with _preview_slots.slot(actor.caller_key, seconds=PREVIEW_WAIT_SECONDS):
        prepared = prepared or intake.preview_input(opened, actor=actor)
        answer = None if prepared.blank else handoff.preview(prepared, settings.PREDICTION_WAIT_SECONDS)
    return Preview(prepared, answer)


def _check_may_submit(actor: Actor) -> None:
    if not permissions.can_submit(actor):
        raise NotAllowedError("Please sign in: this site accepts pictures from people with an account only.")


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
        raise NotAllowedError("Only whoever sent it, or an operator, can delete this.")
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
        raise NotAllowedError("Only whoever sent it can share this.")
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
        raise NotAllowedError("Only whoever sent it can stop sharing this.")
    submission.share_key = ""
    submission.save(update_fields=["share_key"])
