"""`manage.py sanity`: finds missing, damaged and orphaned files."""

import io
import os
import time
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command

from recognizer.models import ModelFiles, Prediction, Source, Submission
from recognizer.services.ops import consistency
from recognizer.services.submissions import service
from recognizer.services.submissions.intake import SubmissionInput
from tests.factories import make_prediction
from tests.image_samples import SEVEN

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


@pytest.fixture
def submission(visitor) -> Submission:
    submission = service.create_submission(actor=visitor, payload=SubmissionInput(source=Source.CANVAS, strokes=SEVEN))
    make_prediction(submission)
    return submission


def problems() -> list[str]:
    return [finding.problem for finding in consistency.check().findings]


def test_consistent_site_has_no_findings(submission):
    output = io.StringIO()
    call_command("sanity", stdout=output)
    assert output.getvalue() == "checked 1 submissions, 1 images, 1 models: nothing is missing or damaged\n"


def test_missing_and_damaged_images_are_found(submission):
    path = Path(default_storage.path(submission.picture))
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert problems() == ["a picture is damaged"]
    path.unlink()
    assert problems() == ["a picture is missing"]
    with pytest.raises(SystemExit) as ended:
        call_command("sanity", stdout=io.StringIO())
    assert ended.value.code == 1


def test_orphaned_files_are_harmless_findings(submission):
    path = Path(default_storage.path("pictures/ab/left.png.1234.draft"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    assert problems() == []  # the upload may still be running
    two_hours_ago = time.time() - 7200
    os.utime(path, (two_hours_ago, two_hours_ago))
    assert problems() == ["a file that no submission names; the hourly sweep takes it"]
    assert consistency.check().is_sane


def test_mismatch_with_latest_prediction_is_found(submission):
    Submission.objects.update(digit=3)
    assert problems() == ["a submission and its latest answer differ"]


def test_missing_reading_of_the_latest_prediction_is_found(submission):
    Prediction.objects.update(reading=1)
    assert problems() == ["a submission and its latest answer differ"]
    Submission.objects.update(further_pixels=bytes(784))
    assert problems() == []


def test_damaged_model_is_found(submission):
    bundle = bytes(ModelFiles.objects.get().bundle)
    ModelFiles.objects.update(bundle=bundle[:-1] + b"x")
    assert problems() == ["the file of a model is damaged"]
    ModelFiles.objects.all().delete()
    assert problems() == ["the live model has no files"]
