"""Prediction of submissions in batches: one forward pass and one transaction for each."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, transaction
from django.utils import timezone

from ml.serving.bundle import BundleError
from ml.serving.classifier import Classifier
from ml.serving.verdicts import Answer
from ml.versions import PREPROCESSING_VERSION
from recognizer.models import ModelVersion, Submission, SubmissionState
from recognizer.services.lib import fsync
from recognizer.services.registry import versions

from . import statements
from .result_messages import Failure, Result, StoredPrediction
from .statements import INPUT_COLUMNS, PendingInput, PredictionRecord

if TYPE_CHECKING:
    from ml.preprocessing import Prepared

log = logging.getLogger(__name__)

# Errors of the site, not of an image: the rows stay pending and are tried again later.
SITE_ERRORS = (DatabaseError, BundleError, versions.RegistryError, MemoryError)


def load_live_model() -> None:
    """Load the live model in this thread.

    Raises:
        DatabaseError, BundleError, RegistryError: As `predict_batch`.
    """
    versions.live_classifier.current()


def warm_up() -> None:
    """Load the live model in this thread and run it once for each batch size that needs memory of its own.

    Raises:
        DatabaseError, BundleError, RegistryError: As `predict_batch`.
    """
    _, classifier = versions.live_classifier.current()
    for size in (1, settings.PREDICTION_BATCH):
        classifier.answer(np.zeros((size, 28, 28), np.uint8))


def predict_batch(ids: Sequence[int]) -> dict[int, Result]:
    """Predict the pending submissions among `ids`, and commit.

    An image on which the model fails does not fail its batch: its submission becomes `failed`, with a reason.

    Args:
        ids: Primary keys of submissions.

    Returns:
        By submission id, the result of each submission that was predicted or failed here.

    Raises:
        DatabaseError: The database is unavailable; nothing was changed. The same holds for the next two.
        BundleError: The files of the live model are missing or damaged.
        RegistryError: No model is live.
    """
    rows = statements.read_inputs(ids, SubmissionState.PENDING)
    if not rows:
        return {}
    results = _predict(rows, *versions.live_classifier.current())
    log.info("predicted", extra={"submissions": list(results)})
    return results


def predict_again(ids: Sequence[int]) -> dict[int, Result]:
    """Predict submissions again that have a prediction, with the live version.

    Args:
        ids: Primary keys of submissions.

    Returns:
        As `predict_batch`; submissions that failed keep their old prediction.
    """
    rows = statements.read_inputs(ids, SubmissionState.PREDICTED)
    return _predict(rows, *versions.live_classifier.current()) if rows else {}


def _predict(rows: list[PendingInput], version: ModelVersion, classifier: Classifier) -> dict[int, Result]:
    """Predict rows together or, if that fails, one by one."""
    try:
        return _predict_together(rows, version, classifier)
    except (DataError, IntegrityError) as error:
        culprit: Exception = error  # the database rejects the values of one image
    except SITE_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001  any error that a decoder or a model raises on an unusual image
        culprit = error
    if len(rows) == 1:
        return _fail(rows[0].pk, culprit)
    log.warning("batch of %s failed (%r); predicting its images one by one", len(rows), culprit)
    return {pk: result for row in rows for pk, result in _predict([row], version, classifier).items()}


def _predict_together(rows: list[PendingInput], version: ModelVersion, classifier: Classifier) -> dict[int, Result]:
    """Run one forward pass for all rows, and store its results in one transaction."""
    stale: list[Submission] = []
    if any(row.preprocessing_version != PREPROCESSING_VERSION for row in rows):
        rows, stale = _update_preprocessing(rows)
    readings = [row.readings for row in rows]
    started = time.perf_counter()
    answers = classifier.answer_readings(readings)
    milliseconds = (time.perf_counter() - started) * 1000 / len(rows)
    now = timezone.now()
    records = [_to_record(row, version, answer, now, milliseconds) for row, answer in zip(rows, answers, strict=True)]
    try:
        ids = _store(records, version, stale)
    except IntegrityError:
        # Most likely a submission was deleted since it was read. Lock the others, so that they can be stored.
        with transaction.atomic():
            locked = Submission.objects.select_for_update().filter(pk__in=[row.pk for row in rows])
            existing_ids = set(locked.values_list("pk", flat=True))
            records = [record for record in records if record.submission_id in existing_ids]
            ids = _store(records, version, [submission for submission in stale if submission.pk in existing_ids])
    return {
        record.submission_id: StoredPrediction(ids[record.submission_id], record, version.number) for record in records
    }


def _to_record(
    row: PendingInput, version: ModelVersion, answer: Answer, now: datetime, milliseconds: float
) -> PredictionRecord:
    return PredictionRecord(
        submission_id=row.pk,
        version_id=version.pk,
        preprocessing_version=row.preprocessing_version,
        crop=row.crop,
        created=now,
        probabilities=[round(probability, 6) for probability in answer.probabilities],
        digit=answer.digit,
        certainty=round(answer.certainty, 6),
        runner_up=answer.runner_up,
        energy=answer.energy,
        doubt=answer.doubt,
        verdict=answer.verdict.value,
        milliseconds=milliseconds,
        reading=answer.reading,
    )


def _store(records: list[PredictionRecord], version: ModelVersion, prepared_again: list[Submission]) -> dict[int, int]:
    with fsync.relaxed_sync(), transaction.atomic():
        if prepared_again:
            locked = Submission.objects.select_for_update().filter(pk__in=[row.pk for row in prepared_again])
            crops = dict(locked.values_list("pk", "crop"))
            unchanged = [row for row in prepared_again if row.pk in crops and row.crop == crops[row.pk]]
            Submission.objects.bulk_update(unchanged, INPUT_COLUMNS)
        return statements.write_predictions(records, version.number)


def _update_preprocessing(rows: list[PendingInput]) -> tuple[list[PendingInput], list[Submission]]:
    """Return the rows with pixels of the current preprocessing, and the submissions whose pixels changed."""
    stale_ids = [row.pk for row in rows if row.preprocessing_version != PREPROCESSING_VERSION]
    # A submission that was deleted since is missing here; storing its prediction violates the foreign key.
    stale = Submission.objects.in_bulk(stale_ids)
    for submission in stale.values():
        prepare_again(submission)
    updated = {
        pk: PendingInput(
            pk=pk, crop=submission.crop_text, **{name: getattr(submission, name) for name in INPUT_COLUMNS}
        )
        for pk, submission in stale.items()
    }
    return [updated.get(row.pk, row) for row in rows], list(stale.values())


def prepare_again(row: Submission) -> "Prepared":
    """Compute the cached readings of a submission's crop with the current preprocessing, without saving.

    A cropped drawing is read from its stored image. OpenCV is imported here because this is rarely needed.
    """
    from ml.preprocessing import prepare_image, prepare_strokes

    if row.strokes and not row.crop:
        prepared = prepare_strokes(row.strokes)
    else:
        from recognizer.services.images import storage

        prepared = prepare_image(storage.open_stored(row), crop=tuple(row.crop) if row.crop else None)
    row.pixels, row.ink = prepared.pixels.tobytes(), dict(prepared.ink)
    row.further_pixels, row.further_ink = prepared.encoded_alternatives
    row.preprocessing_version = PREPROCESSING_VERSION
    return prepared


def _fail(pk: int, error: Exception) -> dict[int, Result]:
    log.error("prediction of submission %s failed", pk, exc_info=error)
    return mark_failed([pk], f"The picture could not be read ({error}).")


def mark_failed(ids: Sequence[int], reason: str) -> dict[int, Result]:
    """Mark pending submissions as failed.

    Args:
        ids: Primary keys of submissions.
        reason: The text that visitors see.

    Returns:
        The failure by submission id.
    """
    Submission.objects.filter(pk__in=ids, state=SubmissionState.PENDING).update(
        state=SubmissionState.FAILED, failure=reason
    )
    return dict.fromkeys(ids, Failure(reason))
