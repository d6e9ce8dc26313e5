"""Crops of stored submissions: who may set one, what is read then, and what is kept."""

import numpy as np
import pytest
from django.http import Http404
from PIL import Image

from ml.preprocessing import prepare_image, prepare_strokes
from ml.preprocessing.strokes import render_strokes
from recognizer.models import DailyUsage, LabelReason, Prediction, Source, Submission, SubmissionState
from recognizer.services.identity import permissions, quotas, throttling
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.identity.throttling import Kind
from recognizer.services.images import storage
from recognizer.services.inference import predict, statements
from recognizer.services.registry import versions
from recognizer.services.review import confusion_matrix, labels
from recognizer.services.submissions import crops, service
from recognizer.services.submissions.intake import SubmissionInput, SubmissionRejectedError
from tests.factories import make_prediction, make_version
from tests.image_samples import SEVEN, png

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


STROKE_1 = [[[140, 140], [50, 230]]]
# In an image of two digits, 7 and 1.
LEFT, RIGHT = [0, 0, 280, 280], [280, 0, 560, 280]


def two_digits() -> bytes:
    ink = np.hstack([render_strokes(SEVEN), render_strokes(STROKE_1)])
    return png(Image.fromarray(255 - ink))


@pytest.fixture
def submission(visitor: Actor) -> Submission:
    """A predicted submission with two digits."""
    row = service.create_submission(actor=visitor, payload=SubmissionInput(source=Source.API, image=two_digits()))
    predict.predict_batch([row.pk])
    return Submission.objects.get(pk=row.pk)


def crop(submission: Submission, box: list[float] | None, actor: Actor | None = None) -> Submission:
    """Set a crop, predict the submission, and return its row."""
    crops.set_crop(actor=actor or Actor(visitor=submission.visitor), submission=submission, crop=box)
    predict.predict_batch([submission.pk])
    return Submission.objects.get(pk=submission.pk)


def test_each_crop_is_read_and_earlier_predictions_are_kept(submission):
    assert submission.verdict == "several"
    first = submission.latest_prediction
    left = crop(submission, LEFT)
    assert (left.state, left.digit, left.verdict) == (SubmissionState.PREDICTED, 7, "sure")
    right = crop(left, RIGHT)
    assert (right.crop, right.digit, right.verdict) == (RIGHT, 1, "sure")
    expected = prepare_image(storage.open_stored(right), crop=tuple(RIGHT))
    assert np.array_equal(right.readings[0].pixels, expected.pixels)
    assert right.ink == expected.ink
    assert [prediction.crop_box for prediction in submission.predictions.order_by("pk")] == [None, LEFT, RIGHT]
    whole = crop(right, None)
    assert whole.latest_prediction == first
    assert Prediction.objects.count() == 3
    assert not whole.models_disagree


def test_same_crop_changes_nothing(submission):
    left = crop(submission, LEFT)
    crops.set_crop(actor=Actor(visitor=left.visitor), submission=left, crop=[-5, 0, 279.5, 280])
    assert left.state == SubmissionState.PREDICTED
    assert Prediction.objects.count() == 2


def test_failed_submission_is_tried_again_with_the_same_crop(submission):
    Submission.objects.update(state=SubmissionState.FAILED, failure="It is torn.", attempts=4)
    submission.refresh_from_db()
    again = crop(submission, None)
    assert (again.state, again.failure, again.attempts) == (SubmissionState.PREDICTED, "", 0)


def test_labels_and_consensus_are_kept(submission, reviewer):
    labels.record_label(actor=reviewer, submission=submission, value="7", reason=LabelReason.SUBMISSION_PAGE)
    left = crop(submission, LEFT)
    assert (left.truth, left.truth_state, left.labels.count()) == ("7", "settled", 1)


def test_cropped_drawing_is_read_from_its_image_and_otherwise_from_its_strokes(visitor):
    row = service.create_from_strokes(actor=visitor, strokes=SEVEN, source=Source.CANVAS)
    box = [20, 20, 260, 260]
    cropped = crop(row, box)
    expected = prepare_image(storage.open_stored(row), crop=tuple(box))
    assert np.array_equal(cropped.readings[0].pixels, expected.pixels)
    assert cropped.digit == 7
    whole = crop(cropped, None)
    assert np.array_equal(whole.readings[0].pixels, prepare_strokes(SEVEN).pixels)


def test_reviewer_and_holder_of_the_manage_key_may_crop_and_a_stranger_may_not(submission, reviewer, stranger):
    assert crop(submission, LEFT, reviewer).digit == 7
    with pytest.raises(NotAllowedError):
        crops.set_crop(actor=stranger, submission=submission, crop=RIGHT)
    row = service.create_submission(actor=Actor(), payload=SubmissionInput(source=Source.API, image=two_digits()))
    with pytest.raises(NotAllowedError):
        crops.set_crop(actor=Actor(), submission=row, crop=RIGHT)
    assert crop(row, RIGHT, Actor(manage_key=permissions.manage_key(row.public_id))).digit == 1


@pytest.mark.parametrize(
    ("box", "code"), [([0, 0, 3, 280], "bad_crop"), ([900, 0, 990, 90], "bad_crop"), ([0, 0, 40, 40], "blank")]
)
def test_box_without_ink_or_outside_of_the_image_is_rejected_and_changes_nothing(submission, box, code):
    before = Submission.objects.values().get()
    with pytest.raises(SubmissionRejectedError) as rejection:
        crops.set_crop(actor=Actor(visitor=submission.visitor), submission=submission, crop=box)
    assert (rejection.value.code, rejection.value.field) == (code, "crop")
    assert Submission.objects.values().get() == before


def test_submission_that_was_deleted_meanwhile_is_not_found(submission, visitor):
    copy = Submission.objects.get()
    service.delete(actor=visitor, submission=copy)
    with pytest.raises(Http404):
        crops.set_crop(actor=visitor, submission=submission, crop=LEFT)


def test_prediction_of_the_crop_before_does_not_become_the_latest(submission, monkeypatch):
    """A worker has read the input when the crop changes."""
    crops.set_crop(actor=Actor(visitor=submission.visitor), submission=submission, crop=LEFT)
    write = statements.write_predictions

    def crop_first(*args: object) -> dict[int, int]:
        monkeypatch.undo()
        crops.set_crop(actor=Actor(visitor=submission.visitor), submission=submission, crop=RIGHT)
        return write(*args)

    monkeypatch.setattr(statements, "write_predictions", crop_first)
    predict.predict_batch([submission.pk])
    row = Submission.objects.get()
    assert (row.state, row.latest_prediction) == (SubmissionState.PENDING, None)
    predict.predict_batch([submission.pk])
    row = Submission.objects.get()
    assert (row.state, row.digit, row.latest_prediction.crop_box) == (SubmissionState.PREDICTED, 1, RIGHT)
    assert [prediction.crop_box for prediction in submission.predictions.order_by("pk")] == [None, LEFT, RIGHT]


def test_refreshed_preprocessing_does_not_replace_the_pixels_of_another_crop(submission, monkeypatch):
    Submission.objects.update(preprocessing_version=1, state=SubmissionState.PENDING)
    prepare_again = predict.prepare_again

    def crop_after(row: Submission) -> object:
        prepared = prepare_again(row)
        monkeypatch.undo()
        crops.set_crop(actor=Actor(visitor=row.visitor), submission=Submission.objects.get(), crop=RIGHT)
        return prepared

    monkeypatch.setattr(predict, "prepare_again", crop_after)
    predict.predict_batch([submission.pk])
    row = Submission.objects.get()
    expected = prepare_image(storage.open_stored(row), crop=tuple(RIGHT))
    assert np.array_equal(row.readings[0].pixels, expected.pixels)
    assert row.state == SubmissionState.PENDING


def test_crop_counts_as_a_submission_of_the_minute_and_its_prediction_towards_the_quota(visitor, monkeypatch):
    sender = Actor(visitor=visitor.visitor, address="192.0.2.7")
    row = service.create_submission(actor=sender, payload=SubmissionInput(source=Source.API, image=two_digits()))
    before = DailyUsage.objects.get()
    counted = []
    monkeypatch.setattr(throttling, "count", lambda _actor, kind: counted.append(kind))
    crops.set_crop(actor=sender, submission=row, crop=LEFT)
    after = DailyUsage.objects.get()
    assert counted == [Kind.SUBMIT]
    assert (after.submissions, after.bytes) == (before.submissions, before.bytes + quotas.PREDICTION_ROW_BYTES)


def test_exhausted_quota_changes_nothing(visitor, settings):
    settings.MEGABYTES_PER_DAY = (1, 1)
    sender = Actor(visitor=visitor.visitor, address="192.0.2.7")
    row = service.create_submission(actor=sender, payload=SubmissionInput(source=Source.API, image=two_digits()))
    DailyUsage.objects.update(bytes=2**20)
    with pytest.raises(quotas.QuotaError):
        crops.set_crop(actor=sender, submission=row, crop=LEFT)
    assert Submission.objects.get().crop is None


def test_confusion_matrix_counts_the_current_crop_of_each_submission(submission, reviewer):
    labels.record_label(actor=reviewer, submission=submission, value="7", reason=LabelReason.SUBMISSION_PAGE)
    first = versions.live_version()
    left = crop(submission, LEFT)
    make_prediction(left, version=make_version(), crop=left.latest_prediction.crop)
    matrix = confusion_matrix.matrix_for_version(first)
    assert (matrix.total, matrix.right) == (1, 1)
    cell = confusion_matrix.parse_cell(version=first.number, digit=7)
    assert Submission.objects.filter(cell).exists()
