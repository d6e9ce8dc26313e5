"""Answering submissions: one forward pass and one transaction for a batch."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from django.db import DatabaseError, DataError, IntegrityError, transaction
from django.utils import timezone

from ml.serving.bundle import BundleError
from ml.serving.classifier import Answer, Classifier
from ml.versions import PREPROCESSING_VERSION
from recognizer.models import ModelVersion, Submission, SubmissionState
from recognizer.services.lib import fsync
from recognizer.services.registry import versions

from . import answers, settling
from .settling import Row, Said

log = logging.getLogger(__name__)

# What went wrong with the site and not with one picture: the rows stay pending and are tried again later.
SITE_ERRORS = (DatabaseError, BundleError, versions.RegistryError, MemoryError)


def predict_batch(ids: Sequence[int]) -> dict[int, bytes]:
    """Answer those of the submissions that are pending still, and commit.

    A picture on which the model fails does not take its batch with it: it becomes `failed`, with a reason.

    Returns:
        For each submission that was settled here the message for `answers.take`.

    Raises:
        DatabaseError, BundleError, RegistryError: the site cannot answer now; nothing was changed.
    """
    rows = settling.read(ids, SubmissionState.PENDING)
    if not rows:
        return {}
    settled = _settle(rows, *versions.live_classifier.current())
    log.info("settled", extra={"submissions": list(settled)})
    return settled


def predict_again(ids: Sequence[int]) -> int:
    """Answer submissions that have an answer once more, with what is live now. Returns how many."""
    rows = settling.read(ids, SubmissionState.PREDICTED)
    return len(_settle(rows, *versions.live_classifier.current())) if rows else 0


def _settle(rows: list[Row], version: ModelVersion, classifier: Classifier) -> dict[int, bytes]:
    try:
        return _answer(rows, version, classifier)
    except (DataError, IntegrityError) as error:
        culprit: Exception = error  # the database refuses what one picture brought
    except SITE_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001  whatever a decoder or a model raises on an odd picture
        culprit = error
    if len(rows) == 1:
        return _fail(rows[0].pk, culprit)
    log.warning("a batch of %s failed (%r); trying its pictures one by one", len(rows), culprit)
    return {pk: message for row in rows for pk, message in _settle([row], version, classifier).items()}


def _answer(rows: list[Row], version: ModelVersion, classifier: Classifier) -> dict[int, bytes]:
    old: list[Submission] = []
    if any(row.preprocessing_version != PREPROCESSING_VERSION for row in rows):
        rows, old = _brought_up_to_date(rows)
    pixels = np.frombuffer(b"".join([row.pixels for row in rows]), np.uint8).reshape(len(rows), 28, 28)
    started = time.perf_counter()
    given = classifier.answer(pixels, [row.ink for row in rows])
    milliseconds = (time.perf_counter() - started) * 1000 / len(rows)
    now = timezone.now()
    said = [_said(row, version, one, now, milliseconds) for row, one in zip(rows, given, strict=True)]
    try:
        ids = _store(said, version, old)
    except IntegrityError:
        # Most likely somebody deleted a submission meanwhile. Held fast, the others can be stored.
        with transaction.atomic():
            held = Submission.objects.select_for_update().filter(pk__in=[row.pk for row in rows])
            there = set(held.values_list("pk", flat=True))
            said = [one for one in said if one.submission_id in there]
            ids = _store(said, version, [row for row in old if row.pk in there])
    return {one.submission_id: answers.message(ids[one.submission_id], one, version) for one in said}


def _said(row: Row, version: ModelVersion, answer: Answer, now: datetime, milliseconds: float) -> Said:
    return Said(
        submission_id=row.pk,
        version_id=version.pk,
        preprocessing_version=row.preprocessing_version,
        created=now,
        probabilities=[round(probability, 6) for probability in answer.probabilities],
        digit=answer.digit,
        certainty=round(answer.certainty, 6),
        runner_up=answer.runner_up,
        energy=answer.energy,
        doubt=answer.doubt,
        verdict=answer.verdict.value,
        milliseconds=milliseconds,
    )


def _store(said: list[Said], version: ModelVersion, prepared_again: list[Submission]) -> dict[int, int]:
    with fsync.relaxed_sync(), transaction.atomic():
        if prepared_again:
            Submission.objects.bulk_update(prepared_again, ["pixels", "ink", "preprocessing_version"])
        return settling.write(said, version.number)


def _brought_up_to_date(rows: list[Row]) -> tuple[list[Row], list[Submission]]:
    """The same rows with pixels of today's preprocessing, and the submissions whose pixels that changed."""
    stale = [row.pk for row in rows if row.preprocessing_version != PREPROCESSING_VERSION]
    # Without one that was deleted meanwhile: its own foreign key will refuse it, as any other that goes now.
    old = Submission.objects.in_bulk(stale)
    for submission in old.values():
        prepare_again(submission)
    fresh = {one.pk: Row(one.pk, bytes(one.pixels), one.ink, one.preprocessing_version) for one in old.values()}
    return [fresh.get(row.pk, row) for row in rows], list(old.values())


def prepare_again(row: Submission) -> None:
    """Bring the cached pixels up to today's preprocessing. Seldom needed, so OpenCV is loaded here."""
    from ml.preprocessing import prepare_image, prepare_strokes

    if row.strokes:
        prepared = prepare_strokes(row.strokes)
    else:
        from recognizer.services.images import storage

        prepared = prepare_image(storage.open_stored(row), crop=tuple(row.crop) if row.crop else None)
    row.pixels, row.ink = prepared.pixels.tobytes(), dict(prepared.ink)
    row.preprocessing_version = PREPROCESSING_VERSION


def _fail(pk: int, error: Exception) -> dict[int, bytes]:
    log.error("submission %s cannot be predicted", pk, exc_info=error)
    return mark_failed([pk], f"The picture could not be read ({error}).")


def mark_failed(ids: Sequence[int], reason: str) -> dict[int, bytes]:
    """Mark pending submissions as failed; the messages for whoever waits for them."""
    Submission.objects.filter(pk__in=ids, state=SubmissionState.PENDING).update(
        state=SubmissionState.FAILED, failure=reason
    )
    return dict.fromkeys(ids, answers.failure_message(reason))
