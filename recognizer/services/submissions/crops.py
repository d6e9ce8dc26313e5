"""Crops of stored submissions: read the same image again, within another box."""

import copy

from django.db import transaction
from django.http import Http404

from recognizer.models import Submission, SubmissionState
from recognizer.services.identity import permissions, quotas
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.identity.throttling import Kind, limit_rate
from recognizer.services.inference import predict, producer
from recognizer.services.inference.statements import INPUT_COLUMNS

from . import intake
from .intake import Crop, SubmissionRejectedError

# The columns that describe a prediction, as they are before there is one.
UNREAD = {
    "state": SubmissionState.PENDING,
    "attempts": 0,
    "failure": "",
    "latest_prediction": None,
    "doubt": None,
    "digit": None,
    "certainty": None,
    "verdict": "",
    "answered_by": None,
    "models_disagree": False,
}


@limit_rate(Kind.SUBMIT)
def set_crop(*, actor: Actor, submission: Submission, crop: Crop | None, timeout: float = 0.0) -> None:
    """Read a submission within another crop, and wait for the prediction.

    Its labels and the predictions of other crops are kept. Nothing is changed if the crop is the same, unless its
    prediction failed.

    Args:
        actor: the caller.
        submission: the submission; it is updated.
        crop: left, top, right, bottom of the digit, in pixels of the stored image; None: the whole image.
        timeout: the maximum time to wait, in seconds.

    Raises:
        NotAllowedError: the submission belongs to another person, and the actor is no reviewer.
        SubmissionRejectedError: the box is too small or contains no ink; nothing was changed.
        quotas.QuotaError: the daily quota is exceeded; nothing was changed.
        Http404: the submission was deleted meanwhile.
    """
    if not permissions.can_crop(actor, submission):
        raise NotAllowedError("Only the person who sent it, or a reviewer, can crop this.")
    size = (submission.picture_width, submission.picture_height)
    box = list(intake.scale_crop(crop, size, size)) if crop is not None else None
    if box == submission.crop and submission.state != SubmissionState.FAILED:
        producer.enqueue_and_wait([submission], timeout=timeout, caller=actor.caller_key)
        return
    columns = _prepare(submission, box)
    with transaction.atomic():
        quotas.consume(actor=actor, submissions=0, size=quotas.PREDICTION_ROW_BYTES)
        if not Submission.objects.filter(pk=submission.pk).update(**columns):
            raise Http404
    for name, value in columns.items():
        setattr(submission, name, value)
    _predict(submission, actor=actor, timeout=timeout)


def _prepare(submission: Submission, box: list[int] | None) -> dict[str, object]:
    """Return the columns of a submission with another crop, before it is predicted."""
    row = copy.copy(submission)
    row.crop = box
    try:
        prepared = predict.prepare_again(row)
    except FileNotFoundError:
        if Submission.objects.filter(pk=row.pk).exists():
            raise
        raise Http404 from None  # deleted meanwhile
    if prepared.is_empty:
        raise SubmissionRejectedError(
            "blank", "There is nothing to see in this box. Please draw it round the digit.", field="crop"
        )
    return {"crop": box, **{name: getattr(row, name) for name in INPUT_COLUMNS}, **UNREAD}


def _predict(submission: Submission, *, actor: Actor, timeout: float) -> None:
    if timeout <= 0:
        producer.predict_later([submission.pk])
        return
    reply_to = producer.new_reply_list()
    producer.enqueue([submission.pk], reply_to=reply_to)
    producer.wait_in_slot([submission], reply_to=reply_to, timeout=timeout, caller=actor.caller_key)
