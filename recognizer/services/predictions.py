"""Answering submissions: one forward pass and one transaction for a batch. Called by shifts."""

import logging
import time
from collections.abc import Sequence

import numpy as np
from django.db import DatabaseError, DataError, IntegrityError, connection, transaction

from ml.bundle import BundleError
from ml.classifier import Answer, Classifier
from ml.versions import PREPROCESSING_VERSION
from recognizer.models import ModelVersion, Prediction, Submission, SubmissionState

from . import answers, durability, registry

log = logging.getLogger(__name__)

# What went wrong with the site and not with one picture: the rows stay pending and are tried again later.
SITE_ERRORS = (DatabaseError, BundleError, registry.RegistryError, MemoryError)


def predict_batch(ids: Sequence[int]) -> dict[int, bytes]:
    """Answer those of the submissions that are pending still, and commit.

    A picture on which the model fails does not take its batch with it: it becomes `failed`, with a reason.

    Returns:
        For each submission that was settled here the message for `answers.take`.

    Raises:
        DatabaseError, BundleError, RegistryError: the site cannot answer now; nothing was changed.
    """
    rows = list(
        Submission.objects.filter(pk__in=ids, state=SubmissionState.PENDING).only(
            "pixels", "ink", "preprocessing_version"
        )
    )
    if not rows:
        return {}
    settled = _settle(rows, *registry.live_classifier.current())
    log.info("settled", extra={"submissions": list(settled)})
    return settled


def predict_again(ids: Sequence[int]) -> int:
    """Answer submissions that have an answer once more, with what is live now. Returns how many."""
    rows = list(
        Submission.objects.filter(pk__in=ids, state=SubmissionState.PREDICTED).only(
            "pixels", "ink", "preprocessing_version"
        )
    )
    return len(_settle(rows, *registry.live_classifier.current())) if rows else 0


def _settle(rows: list[Submission], version: ModelVersion, classifier: Classifier) -> dict[int, bytes]:
    try:
        return _answer(rows, version, classifier)
    except (DataError, IntegrityError) as error:
        culprit: Exception = error  # the database refuses what one picture brought
    except SITE_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001  whatever a decoder or a model raises on an odd picture
        culprit = error
    if len(rows) == 1:
        return _fail(rows[0], culprit)
    log.warning("a batch of %s failed (%r); trying its pictures one by one", len(rows), culprit)
    return {pk: message for row in rows for pk, message in _settle([row], version, classifier).items()}


def _answer(rows: list[Submission], version: ModelVersion, classifier: Classifier) -> dict[int, bytes]:
    old = [row for row in rows if row.preprocessing_version != PREPROCESSING_VERSION]
    for row in old:
        prepare_again(row)
    pixels = np.frombuffer(b"".join(bytes(row.pixels) for row in rows), np.uint8).reshape(len(rows), 28, 28)
    started = time.perf_counter()
    said = classifier.answer(pixels, [row.ink for row in rows])
    milliseconds = (time.perf_counter() - started) * 1000 / len(rows)
    predictions = [_prediction(row, version, one, milliseconds) for row, one in zip(rows, said, strict=True)]
    try:
        _store(predictions, version, old)
    except IntegrityError:
        # Most likely somebody deleted a submission meanwhile. Held fast, the others can be stored.
        with transaction.atomic():
            held = Submission.objects.select_for_update().filter(pk__in=[row.pk for row in rows])
            there = set(held.values_list("pk", flat=True))
            predictions = [one for one in predictions if one.submission_id in there]
            _store(predictions, version, [row for row in old if row.pk in there])
    return {one.submission_id: answers.message(one, version) for one in predictions}


def _prediction(row: Submission, version: ModelVersion, answer: Answer, milliseconds: float) -> Prediction:
    return Prediction(
        submission_id=row.pk,
        version_id=version.pk,
        preprocessing_version=row.preprocessing_version,
        probabilities=[round(probability, 6) for probability in answer.probabilities],
        digit=answer.digit,
        certainty=round(answer.certainty, 6),
        runner_up=answer.runner_up,
        energy=answer.energy,
        doubt=answer.doubt,
        verdict=answer.verdict.value,
        milliseconds=milliseconds,
    )


def _store(predictions: list[Prediction], version: ModelVersion, prepared_again: list[Submission]) -> None:
    with durability.repeatable(), transaction.atomic():
        if prepared_again:
            Submission.objects.bulk_update(prepared_again, ["pixels", "ink", "preprocessing_version"])
        # The same model said the same of the same pixels before: that row stays. DO NOTHING would not tell its
        # id, and on SQLite it would also swallow a row that breaks another constraint.
        Prediction.objects.bulk_create(
            predictions,
            update_conflicts=True,
            unique_fields=["submission", "version", "preprocessing_version"],
            update_fields=["preprocessing_version"],
        )
        with connection.cursor() as cursor:
            cursor.executemany(UPDATE_SUBMISSION, [_columns(one, version) for one in predictions])


# What lists and the review queue need of the latest answer, beside the submission's own columns.
UPDATE_SUBMISSION = """
    UPDATE recognizer_submission SET
        state = %s, latest_prediction_id = %s, doubt = %s, digit = %s, certainty = %s, verdict = %s, answered_by = %s,
        models_disagree = EXISTS (
            SELECT 1 FROM recognizer_prediction p WHERE p.submission_id = recognizer_submission.id AND p.digit <> %s
        )
    WHERE id = %s
"""


def _columns(one: Prediction, version: ModelVersion) -> tuple:
    answer = (one.pk, one.doubt, one.digit, one.certainty, str(one.verdict), version.number, one.digit)
    return (SubmissionState.PREDICTED.value, *answer, one.submission_id)


def prepare_again(row: Submission) -> None:
    """Bring the cached pixels up to today's preprocessing. Seldom needed, so OpenCV is loaded here."""
    from ml.preprocessing import prepare_image, prepare_strokes

    if row.strokes:
        prepared = prepare_strokes(row.strokes)
    else:
        from . import pictures

        prepared = prepare_image(pictures.open_picture(row), crop=tuple(row.crop) if row.crop else None)
    row.pixels, row.ink = prepared.pixels.tobytes(), dict(prepared.ink)
    row.preprocessing_version = PREPROCESSING_VERSION


def _fail(row: Submission, error: Exception) -> dict[int, bytes]:
    log.error("submission %s cannot be predicted", row.pk, exc_info=error)
    return give_up([row.pk], f"The picture could not be read ({error}).")


def give_up(ids: Sequence[int], reason: str) -> dict[int, bytes]:
    """Mark pending submissions as failed; the messages for whoever waits for them."""
    Submission.objects.filter(pk__in=ids, state=SubmissionState.PENDING).update(
        state=SubmissionState.FAILED, failure=reason
    )
    return dict.fromkeys(ids, answers.failure_message(reason))
