"""Batch prediction: one forward pass, one transaction, and isolated failures."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
import pytest
from django.db import DatabaseError
from django.utils import timezone

from digitsite.testing.site import some_pixels
from ml.preprocessing import PREPROCESSING_VERSION, prepare_strokes
from ml.readings import Reading
from ml.serving.bundle import BundleError
from ml.serving.classifier import Classifier
from ml.serving.verdicts import Answer
from ml.training.export_pipeline import ExportedModel
from recognizer.models import Deployment, ModelFiles, ModelVersion, Prediction, Submission, SubmissionState
from recognizer.services.inference import counters, predict, recovery, result_messages, statements
from recognizer.services.registry import versions
from tests.factories import make_boxed_submission, make_submission
from tests.image_samples import SEVEN, seven_pixels

pytestmark = pytest.mark.django_db


class Answering:
    """A live classifier that runs a function during its forward pass."""

    def __init__(self, meanwhile) -> None:
        self._real, self._meanwhile = versions.live_classifier.current()[1], meanwhile
        self.manifest = self._real.manifest

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        return self._real.logits(pixels)

    def answer(self, pixels: np.ndarray, ink: Sequence[Mapping] | None = None) -> list[Answer]:
        return self._real.answer(pixels, ink)

    def answer_readings(self, images: Sequence[Sequence[Reading]]) -> list[Answer]:
        self._meanwhile(np.stack([plain.pixels for plain, *_ in images]))
        return self._real.answer_readings(images)


@pytest.fixture
def during_prediction(monkeypatch: pytest.MonkeyPatch):
    def install(meanwhile) -> None:
        classifier: Classifier = Answering(meanwhile)
        monkeypatch.setattr(versions.live_classifier, "current", lambda: (versions.live_version(), classifier))

    return install


def submissions(count: int, **columns: object) -> list[Submission]:
    return [make_submission(pixels=some_pixels(number), **columns) for number in range(count)]


def test_each_prediction_of_batch_names_its_version() -> None:
    rows = submissions(5)
    outcomes = predict.predict_batch([row.pk for row in rows])
    assert set(outcomes) == {row.pk for row in rows}
    _, classifier = versions.live_classifier.current()
    for row, answer in zip(
        rows,
        classifier.answer(np.stack([np.frombuffer(row.pixels, np.uint8).reshape(28, 28) for row in rows])),
        strict=True,
    ):
        row.refresh_from_db()
        stored = row.latest_prediction
        assert row.state == SubmissionState.PREDICTED
        assert (stored.digit, stored.runner_up, stored.verdict) == (answer.digit, answer.runner_up, answer.verdict)
        assert stored.certainty == pytest.approx(answer.certainty, abs=1e-5) == row.certainty
        assert stored.probabilities[stored.digit] == stored.certainty
        assert row.doubt == stored.doubt
        assert (stored.version.number, stored.preprocessing_version) == (1, row.preprocessing_version)


def test_encoded_result_equals_stored_row(django_assert_num_queries) -> None:
    row = submissions(1)[0]
    outcomes = predict.predict_batch([row.pk])
    submission = Submission.objects.get(pk=row.pk)
    submission.state = SubmissionState.PENDING
    with django_assert_num_queries(0):
        result_messages.apply_result(submission, result_messages.encode_result(outcomes[row.pk]))
        prediction = submission.latest_prediction
        assert (submission.state, submission.latest_prediction, submission.doubt) == (
            "predicted",
            prediction,
            prediction.doubt,
        )
        assert prediction.version.number == 1
        assert prediction.submission is submission
    stored = Prediction.objects.get()
    for field in Prediction._meta.concrete_fields:
        assert getattr(prediction, field.attname) == getattr(stored, field.attname)
    assert prediction.version == stored.version
    assert prediction.version.manifest == stored.version.manifest


def test_every_prediction_column_is_written() -> None:
    columns = {field.column for field in Prediction._meta.concrete_fields if not field.primary_key}
    assert set(statements.PredictionRecord._fields) == columns


def test_query_count_does_not_depend_on_batch_size(django_assert_max_num_queries) -> None:
    rows = submissions(30)
    versions.live_classifier.current()
    with django_assert_max_num_queries(8):
        predict.predict_batch([row.pk for row in rows])


def test_submission_has_one_prediction_per_version() -> None:
    row = submissions(1)[0]
    predict.predict_batch([row.pk, row.pk])
    assert predict.predict_batch([row.pk]) == {}
    Submission.objects.update(state=SubmissionState.PENDING)  # as if two workers had read it
    outcomes = predict.predict_batch([row.pk])
    assert Prediction.objects.count() == 1
    result_messages.apply_result(row, result_messages.encode_result(outcomes[row.pk]))
    assert row.latest_prediction == Prediction.objects.get()


def test_new_live_version_is_used_from_next_batch() -> None:
    first, second = submissions(2)
    predict.predict_batch([first.pk])
    base = ModelVersion.objects.get()
    files = ModelFiles.objects.get()
    exported = ExportedModel(files.keras_file, files.bundle, versions.classifier_of(base).manifest)
    newer = versions.create_version(ModelVersion(origin="training"), exported)
    versions.deploy(version=newer, kind=Deployment.Kind.PROMOTE, why="It is better.")
    predict.predict_batch([second.pk])
    assert list(Prediction.objects.order_by("id").values_list("version", flat=True)) == [base.pk, newer.pk]


def test_image_that_breaks_model_fails_alone(during_prediction) -> None:
    rows = submissions(4)
    odd = rows[2].pixels

    def choke(pixels: np.ndarray) -> None:
        if (pixels == np.frombuffer(odd, np.uint8).reshape(28, 28)).all(axis=(1, 2)).any():
            raise ArithmeticError("odd ink")

    during_prediction(choke)
    outcomes = predict.predict_batch([row.pk for row in rows])
    states = [Submission.objects.get(pk=row.pk).state for row in rows]
    assert states == ["predicted", "predicted", "failed", "predicted"]
    rows[2].refresh_from_db()
    assert "odd ink" in rows[2].failure
    submission = Submission(pk=rows[2].pk)
    result_messages.apply_result(submission, result_messages.encode_result(outcomes[rows[2].pk]))
    assert (submission.state, submission.failure) == ("failed", rows[2].failure)


def test_wrong_pixel_size_fails_only_its_submission() -> None:
    rows = [*submissions(2), make_submission(pixels=b"too few")]
    predict.predict_batch([row.pk for row in rows])
    assert [Submission.objects.get(pk=row.pk).state for row in rows] == ["predicted", "predicted", "failed"]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_submission_deleted_during_prediction_does_not_fail_batch(during_prediction) -> None:
    rows = submissions(3)
    during_prediction(lambda pixels: Submission.objects.filter(pk=rows[1].pk).delete())
    outcomes = predict.predict_batch([row.pk for row in rows])
    assert set(outcomes) == {rows[0].pk, rows[2].pk}
    assert Prediction.objects.count() == 2
    assert Submission.objects.filter(state=SubmissionState.PREDICTED).count() == 2


@pytest.mark.parametrize("error", [DatabaseError("locked"), BundleError("damaged"), versions.NoLiveModelError("none")])
def test_site_errors_leave_submissions_pending(during_prediction, error: Exception) -> None:
    row = submissions(1, created=timezone.now())[0]
    Submission.objects.update(created=timezone.now() - timedelta(hours=1))

    def fail(pixels: np.ndarray) -> None:
        raise error

    during_prediction(fail)
    with pytest.raises(type(error)):
        predict.predict_batch([row.pk])
    row.refresh_from_db()
    assert (row.state, row.attempts) == (SubmissionState.PENDING, 0)


def test_no_attempt_is_counted_without_live_model() -> None:
    row = submissions(1)[0]
    Deployment.objects.all().delete()
    with pytest.raises(versions.NoLiveModelError):
        recovery.predict_recovered([row.pk])
    row.refresh_from_db()
    assert (row.state, row.attempts) == (SubmissionState.PENDING, 0)


@pytest.mark.parametrize("error", [DatabaseError("locked"), BundleError("damaged"), MemoryError()])
def test_site_errors_count_for_no_attempt(during_prediction, error: Exception) -> None:
    row = submissions(1)[0]

    def fail(pixels: np.ndarray) -> None:
        raise error

    during_prediction(fail)
    with pytest.raises(type(error)):
        recovery.predict_recovered([row.pk])
    row.refresh_from_db()
    assert (row.state, row.attempts) == (SubmissionState.PENDING, 0)


def test_pixels_of_older_preprocessing_are_recomputed_and_stored() -> None:
    strokes = [[[60, 220, 120], [60, 60, 240]]]
    row = make_submission(strokes=strokes, pixels=bytes(784), preprocessing_version=PREPROCESSING_VERSION - 1)
    predict.predict_batch([row.pk])
    row.refresh_from_db()
    assert bytes(row.pixels) == prepare_strokes(strokes).pixels.tobytes()
    assert row.preprocessing_version == PREPROCESSING_VERSION == row.latest_prediction.preprocessing_version


def test_prediction_names_the_reading_that_the_model_chose() -> None:
    """Without ink in the plain reading, any reading with ink is better."""
    row = make_boxed_submission()
    outcomes = predict.predict_batch([row.pk])
    row.refresh_from_db()
    assert (row.digit, row.latest_prediction.reading) == (7, 1)
    assert (row.seen_pixels == seven_pixels()).all()
    result_messages.apply_result(row, result_messages.encode_result(outcomes[row.pk]))
    assert row.latest_prediction.reading == 1


def test_refreshed_preprocessing_replaces_all_readings() -> None:
    row = make_boxed_submission(strokes=SEVEN, preprocessing_version=PREPROCESSING_VERSION - 1)
    predict.predict_batch([row.pk])
    row.refresh_from_db()
    prepared = prepare_strokes(SEVEN)
    assert [reading.kind for reading in row.readings] == [reading.kind for reading in prepared.readings]
    assert len(row.further_pixels) == 784 * len(prepared.alternatives)


def test_missing_image_file_fails_only_its_submission() -> None:
    row = make_submission(preprocessing_version=PREPROCESSING_VERSION - 1)
    other = submissions(1)[0]
    predict.predict_batch([row.pk, other.pk])
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.state, other.state) == (SubmissionState.FAILED, SubmissionState.PREDICTED)


def test_recovered_submissions_are_retried_in_batch_then_alone_then_failed(during_prediction) -> None:
    rows = submissions(4)
    for row, attempts in zip(rows, (2, 4, 0, 1), strict=True):
        Submission.objects.filter(pk=row.pk).update(attempts=attempts)
    batch_sizes: list[int] = []
    during_prediction(lambda pixels: batch_sizes.append(len(pixels)))
    assert set(recovery.predict_recovered([row.pk for row in rows])) == {row.pk for row in rows}
    assert batch_sizes == [2, 1]
    stored = {row.pk: row for row in Submission.objects.all()}
    assert [stored[row.pk].state for row in rows] == ["predicted", "failed", "predicted", "predicted"]
    assert [stored[row.pk].attempts for row in rows] == [3, 4, 1, 2]
    assert recovery.predict_recovered([row.pk for row in rows]) == {}


def test_counters_count_results_by_digit_verdict_and_batch_size(site) -> None:
    site.start_redis()
    counts = counters.Counters()
    record = predict.predict_batch([submissions(1)[0].pk]).popitem()[1]
    counts.add([record, result_messages.Failure("It is torn.")])
    counts.add([])
    pipe = site.redis().pipeline()
    counts.flush(pipe)
    counts.flush(pipe)
    pipe.execute()
    totals = counters.read(site.redis())
    assert totals.predictions == {(record.record.digit, record.record.verdict): 1}
    assert (totals.failed, totals.batches[1], sum(totals.batches)) == (1, 1, 1)
    assert totals.model_seconds > 0
