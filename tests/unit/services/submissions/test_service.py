"""Submissions: create, reject invalid input, preview, share and delete."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.preprocessing import PREPROCESSING_VERSION, prepare_image
from ml.readings import ReadingKind
from recognizer.models import Fold, Label, LabelReason, Prediction, Source, Submission, SubmissionState
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.images import storage
from recognizer.services.inference import predict
from recognizer.services.review import labels
from recognizer.services.submissions import intake, service
from recognizer.services.submissions.intake import SubmissionInput, SubmissionRejectedError
from recognizer.services.submissions.service import Preview
from tests.factories import make_prediction
from tests.image_samples import SEVEN, SVG, animation, boxed_seven, digit, encoded, huge_png, photo, png

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


def send(actor: Actor, data: bytes | None = None, **options: object) -> Submission:
    data = png(digit()) if data is None else data
    return service.create_submission(actor=actor, payload=SubmissionInput(source=Source.API, image=data, **options))


def draw(actor: Actor, strokes: object = SEVEN, **options: object) -> Submission:
    return service.create_from_strokes(actor=actor, strokes=strokes, source=Source.CANVAS, **options)


def preview(actor: Actor, **fields: object) -> Preview:
    return service.preview(actor=actor, payload=SubmissionInput(source=Source.API, **fields))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_image_becomes_a_pending_submission_with_its_pixels(visitor, media):
    submission = send(visitor)
    submission.refresh_from_db()
    assert submission.state == SubmissionState.PENDING
    assert (submission.visitor, submission.owner, submission.source) == (visitor.visitor, None, Source.API)
    assert submission.preprocessing_version == PREPROCESSING_VERSION
    prepared = prepare_image(storage.open_stored(submission))
    assert bytes(submission.pixels) == prepared.pixels.tobytes()
    assert submission.ink == prepared.ink
    assert [str(path.relative_to(media)) for path in files(media)] == [submission.picture]


def test_digit_in_a_box_is_predicted_without_the_box(visitor):
    submission = send(visitor, png(boxed_seven()))
    predict.predict_batch([submission.pk])
    submission.refresh_from_db()
    prediction = submission.latest_prediction
    assert (prediction.digit, submission.reading_kind(prediction)) == (7, ReadingKind.UNMARKED)
    readings = prepare_image(storage.open_stored(submission)).readings
    assert [bytes(reading.pixels) for reading in submission.readings] == [bytes(reading.pixels) for reading in readings]
    assert (submission.seen_pixels == readings[prediction.reading].pixels).all()


def test_signed_in_person_owns_their_submissions(reviewer):
    submission = send(reviewer)
    assert (submission.owner, submission.visitor) == (reviewer.user, "")


def test_drawing_is_stored_as_strokes_and_as_a_grey_image(visitor):
    submission = draw(visitor, [[[30, 100, 60], [30, 30, 115], [0, 1, 2]]], frame=140, may_train=False)
    submission.refresh_from_db()
    assert submission.strokes == [[[60.0, 200.0, 120.0], [60.0, 60.0, 230.0], [0.0, 1.0, 2.0]]]
    assert (submission.picture_type, submission.picture_width, submission.picture_height) == ("image/png", 280, 280)
    assert storage.open_stored(submission).mode == "L"
    assert not submission.may_train
    assert np.frombuffer(submission.pixels, np.uint8).any()


def test_copies_share_digest_fold_and_file(visitor, stranger, media):
    for first, second in ((send(visitor), send(stranger)), (draw(visitor), draw(stranger))):
        assert (first.digest, first.fold, first.picture) == (second.digest, second.fold, second.picture)
        assert first.public_id != second.public_id
    assert len(files(media)) == 2


def test_one_in_five_is_holdout():
    folds = [intake.fold_of(f"{number * 2654435761 % 2**32:08x}") for number in range(5000)]
    assert 0.17 < folds.count(Fold.HOLDOUT) / 5000 < 0.23


def test_crop_box_is_stored_in_pixels_of_the_stored_image(visitor):
    submission = send(visitor, encoded(photo(3200, 2400), "JPEG"), crop=(1280, 400, 1920, 2000))
    assert submission.crop == pytest.approx([409, 128, 615, 640], abs=1)
    prepared = prepare_image(storage.open_stored(submission), crop=tuple(submission.crop))
    assert bytes(submission.pixels) == prepared.pixels.tobytes()


def test_crop_box_is_clipped_at_the_edges(visitor):
    assert send(visitor, crop=(-5, -5, 500, 500)).crop == [0, 0, 28, 28]


@pytest.mark.parametrize("crop", [(30, 0, 40, 28), (10, 0, 10, 28), (20, 20, 5, 5), (-9, -9, -1, -1)])
def test_crop_box_outside_of_the_image_is_rejected(visitor, crop, media):
    with pytest.raises(SubmissionRejectedError) as error:
        send(visitor, crop=crop)
    assert (error.value.code, error.value.field) == ("bad_crop", "crop")
    assert not Submission.objects.exists()
    assert not files(media)


BAD_IMAGES = {
    "empty": b"",
    "not_an_image": b"this is text in a file that is called digit.png",
    "truncated": encoded(photo(400, 300), "JPEG")[:2000],
    "too_many_bytes": png(digit()) + bytes(11 * 1024 * 1024),
    "blank": png(Image.new("L", (280, 280), 255)),
}


@pytest.mark.parametrize("code", BAD_IMAGES)
def test_bad_image_is_rejected_and_nothing_is_stored(code, visitor, media):
    with pytest.raises(SubmissionRejectedError) as error:
        send(visitor, BAD_IMAGES[code])
    assert error.value.code == code
    assert error.value.field == "image"
    assert str(error.value).endswith(".")
    assert not Submission.objects.exists()
    assert not files(media)


def test_image_of_900_million_pixels_is_rejected_by_its_header(visitor, media):
    with pytest.raises(SubmissionRejectedError) as error:
        send(visitor, huge_png())
    assert error.value.code == "too_many_pixels"
    assert not files(media)


def test_svg_is_rejected(visitor):
    with pytest.raises(SubmissionRejectedError) as error:
        send(visitor, SVG)
    assert error.value.code == "not_an_image"


def test_first_frame_of_an_animation_is_stored(visitor):
    submission = send(visitor, animation())
    assert np.asarray(storage.open_stored(submission)).max() == 255


BAD_STROKES = {
    "blank": [],
    "bad_shape": {"strokes": 1},
    "not_a_number": [[[1, math.nan], [1, 2]]],
    "out_of_range": [[[1, 1e9], [1, 2]]],
    "too_many": [[[1.0] * 1_000_000, [1.0] * 1_000_000]],
}


@pytest.mark.parametrize("code", BAD_STROKES)
def test_bad_strokes_are_rejected_and_nothing_is_stored(code, visitor, media):
    with pytest.raises(SubmissionRejectedError) as error:
        draw(visitor, BAD_STROKES[code])
    assert (error.value.code, error.value.field) == (code, "strokes")
    assert not Submission.objects.exists()
    assert not files(media)


def test_visitor_is_rejected_if_accounts_are_required(visitor, reviewer, settings):
    settings.ANONYMOUS_SUBMISSIONS = False
    for operation in (draw, lambda actor: preview(actor, strokes=SEVEN)):
        with pytest.raises(NotAllowedError, match="sign in"):
            operation(visitor)
    assert draw(reviewer).pk


def test_preview_of_a_blank_image_is_blank_and_stores_nothing(visitor, media):
    blank = preview(visitor, strokes=[])
    assert blank.prepared.blank
    assert blank.answer is None
    assert preview(visitor, image=png(Image.new("L", (50, 50)))).prepared.blank
    with pytest.raises(SubmissionRejectedError):
        preview(visitor, strokes="nonsense")
    assert not Submission.objects.exists()
    assert not files(media)


@pytest.mark.django_db(transaction=True)
def test_deletion_by_the_owner_deletes_predictions_labels_and_file(visitor, reviewer, media):
    submission = draw(visitor)
    make_prediction(submission)
    labels.record_label(actor=reviewer, submission=submission, value="7", reason=LabelReason.RANDOM)
    service.delete(actor=visitor, submission=submission)
    assert not Submission.objects.exists()
    assert not Prediction.objects.exists()
    assert not Label.objects.exists()
    assert not files(media)


@pytest.mark.django_db(transaction=True)
def test_file_is_kept_while_another_submission_has_an_equal_image(visitor, stranger, media):
    own, other = draw(visitor), draw(stranger)
    service.delete(actor=visitor, submission=own)
    assert storage.open_stored(other)
    service.delete(actor=stranger, submission=other)
    assert not files(media)


def test_operators_can_delete_but_strangers_and_reviewers_cannot(visitor, stranger, reviewer, operator):
    submission = draw(visitor)
    for actor in (stranger, reviewer, Actor()):
        with pytest.raises(NotAllowedError):
            service.delete(actor=actor, submission=submission)
    service.delete(actor=operator, submission=submission)


def test_share_link_works_until_it_is_revoked(visitor, stranger):
    submission = draw(visitor)
    key = service.share(actor=visitor, submission=submission)
    assert key == service.share(actor=visitor, submission=submission)
    assert permissions.can_see(stranger, submission, key=key)
    service.unshare(actor=visitor, submission=submission)
    submission.refresh_from_db()
    assert not permissions.can_see(stranger, submission, key=key)
    assert service.share(actor=visitor, submission=submission) != key


def test_only_the_owner_can_share(visitor, stranger, reviewer):
    submission = draw(visitor)
    for actor in (stranger, reviewer):
        with pytest.raises(NotAllowedError):
            service.share(actor=actor, submission=submission)
        with pytest.raises(NotAllowedError):
            service.unshare(actor=actor, submission=submission)


def test_list_with_predictions_takes_one_query(visitor, django_assert_num_queries):
    for _ in range(3):
        make_prediction(draw(visitor))
    with django_assert_num_queries(1):
        rows = list(permissions.visible_submissions(visitor).with_latest_prediction().without_large_columns())
        assert [row.latest_prediction.version.number for row in rows] == [1, 1, 1]
        assert [row.picture_width for row in rows] == [280] * 3
