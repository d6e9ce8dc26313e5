"""Submissions: accepting a picture or a drawing, previewing one, sharing and deleting.

Everything that can be wrong with what was sent is one
exception, `Refused`, raised before anything is stored.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db.models import F, QuerySet

from ml.preprocessing import FRAME, Prepared
from ml.serving.classifier import Answer
from recognizer.models import ModelVersion, Source, Submission
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

# Previews that are made at once: few, for submissions go first. A program with 32 connections finds room all the same;
# a preview that waits longer is of a drawing that looks otherwise by now.
MAX_PREVIEWS, MAX_WAITING_PREVIEWS, PREVIEW_WAIT_SECONDS = 12, 32, 1.0
_preview_slots = FairSlots(
    MAX_PREVIEWS,
    max_waiting=MAX_WAITING_PREVIEWS,
    busy="Too many drawings are being looked at right now. Please try again in a moment.",
)
# What a list must not drag along.
LARGE_COLUMNS = ("pixels", "strokes", "pen", "ink")
# Of a version nothing is shown beside an answer but its number; columns that are not needed make every query slower.
VERSION_COLUMNS = [one.name for one in ModelVersion._meta.concrete_fields if one.name not in ("id", "number")]  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be seen, and the model's answer; `answer` is None where the picture is blank or no worker is free."""

    prepared: Prepared
    answer: Answer | None


# --- Accepting -------------------------------------------------------------------------------------------------------


@limit_rate(Kind.SUBMIT)
def create_submission(
    *, actor: Actor, payload: SubmissionInput, within: Within | None = None, seconds: float | None = None
) -> Submission:
    """Store what was sent and have it predicted.

    Args:
        seconds: how long to wait for the answer. 0: nobody waits for it. None: the caller will, by `handoff.wait_for`.

    Returns:
        The stored submission; pending, unless its answer came within `seconds`.

    Raises:
        Refused: nothing was stored; says why.
        NotAllowedError: accounts are required here and the actor has none, or theirs was deleted meanwhile.
        throttling.ThrottledError: they have sent as much as one may in a minute.
        quotas.QuotaError: they have sent as much as one may in a day.
        BusyError: too many large pictures at once.
    """
    if not payload.demo:
        _check_may_submit(actor)
    begun = intake.open_input(payload)
    parcel = storing.Parcel(lambda: [intake.prepare(begun, actor=actor)], actor, within, seconds)
    if begun.takes_long:
        parcel.prepare()
    [row] = storing.store(parcel)
    return row


@limit_rate(Kind.SUBMIT)
def create_submissions(
    *, actor: Actor, payloads: Sequence[SubmissionInput], within: Within | None = None, seconds: float | None = None
) -> list[Submission | SubmissionRejectedError]:
    """Store several inputs together, without the rejected ones, and have them predicted; see `create_submission`.

    Returns:
        For each its submission, or why it was refused.

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
    """`create_submission` a picture."""
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
    """`create_submission` a drawing."""
    return create_submission(
        actor=actor,
        payload=SubmissionInput(source=source, strokes=strokes, frame=frame, may_train=may_train, demo=demo),
    )


@limit_rate(Kind.PREVIEW)
def preview(*, actor: Actor, payload: SubmissionInput) -> Preview:
    """What the model says of something; nothing is stored.

    Raises:
        Refused, NotAllowedError: as `create_submission` does, but not for what is blank.
        BusyError: too many previews, or large pictures, at once.
    """
    _check_may_submit(actor)
    begun = intake.open_input(payload)
    # What takes long waits for a slot of its own, and must not hold one for previews meanwhile.
    prepared = intake.preview_input(begun, actor=actor) if begun.takes_long else None
    with _preview_slots.slot(actor.share_key, seconds=PREVIEW_WAIT_SECONDS):
        prepared = prepared or intake.preview_input(begun, actor=actor)
        answer = None if prepared.blank else handoff.preview(prepared, settings.PREDICTION_WAIT_SECONDS)
    return Preview(prepared, answer)


def _check_may_submit(actor: Actor) -> None:
    if not permissions.can_submit(actor):
        raise NotAllowedError("Please sign in: this site accepts pictures from people with an account only.")


# --- Reading ---------------------------------------------------------------------------------------------------------


def with_latest_prediction(rows: QuerySet[Submission], *, whole: bool = False) -> QuerySet[Submission]:
    """The same submissions, each with its latest prediction and that one's model version, in one query.

    What lists do not show stays in the database: of the version all but its number; pixels and strokes unless `whole`.
    """
    return rows.select_related("latest_prediction__version").defer(
        *(() if whole else LARGE_COLUMNS),
        *(f"latest_prediction__version__{name}" for name in VERSION_COLUMNS),
    )


# --- Afterwards ------------------------------------------------------------------------------------------------------


def delete(*, actor: Actor, submission: Submission) -> None:
    """Delete a submission with its predictions and labels, and its picture unless an equal one was sent by somebody.

    Raises:
        NotAllowedError: it is somebody else's.
    """
    delete_many(actor=actor, rows=[submission])


@limit_rate(Kind.CHANGE)
def delete_many(*, actor: Actor, rows: Collection[Submission]) -> None:
    """Delete several submissions as `delete` does, as one operation.

    Raises:
        NotAllowedError: the actor may not delete one of them; none was deleted.
    """
    if not all(permissions.can_delete(actor, row) for row in rows):
        raise NotAllowedError("Only whoever sent it, or an operator, can delete this.")
    delete_submissions(Submission.objects.filter(pk__in=[row.pk for row in rows]))


@limit_rate(Kind.CHANGE)
def revoke_read_key(*, actor: Actor, submission: Submission) -> None:
    """Make the submission's read key, and every address that carries it, stop working.

    Raises:
        NotAllowedError: the submission belongs to another person.
    """
    if not permissions.can_share(actor, submission):
        raise NotAllowedError("Only the person who sent it can revoke its read key.")
    Submission.objects.filter(pk=submission.pk).update(read_key_revocations=F("read_key_revocations") + 1)
    submission.refresh_from_db(fields=["read_key_revocations"])


@limit_rate(Kind.CHANGE)
def share(*, actor: Actor, submission: Submission) -> str:
    """The key of the submission's share link, made on the first call; whoever has it can look, until `unshare`.

    Raises:
        NotAllowedError: it is somebody else's.
    """
    if not permissions.can_share(actor, submission):
        raise NotAllowedError("Only whoever sent it can share this.")
    # Of two presses at once the first one's key stays.
    Submission.objects.filter(pk=submission.pk, share_key="").update(share_key=secrets.token_urlsafe(18))
    submission.refresh_from_db(fields=["share_key"])
    return submission.share_key


@limit_rate(Kind.CHANGE)
def unshare(*, actor: Actor, submission: Submission) -> None:
    """Make every share link of the submission stop working; a later `share` gives another key.

    Raises:
        NotAllowedError: it is somebody else's.
    """
    if not permissions.can_share(actor, submission):
        raise NotAllowedError("Only whoever sent it can stop sharing this.")
    submission.share_key = ""
    submission.save(update_fields=["share_key"])
