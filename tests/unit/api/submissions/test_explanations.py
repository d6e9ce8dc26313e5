"""Explanations of a prediction, as numbers and as an image."""

import io

import pytest
from PIL import Image

from recognizer.models import Source, Submission
from recognizer.services.submissions import service
from tests.factories import make_prediction
from tests.image_samples import SEVEN

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


@pytest.fixture
def submission(visitor) -> Submission:
    return service.create_from_strokes(actor=visitor, strokes=SEVEN, source=Source.CANVAS)


def address(submission: Submission, part: str) -> str:
    return f"/api/v1/submissions/{submission.public_id}/{part}"


def test_explanation_has_a_value_for_each_pixel(submission, owner_client):
    make_prediction(submission)
    body = owner_client.get(address(submission, "explanation")).json()
    assert (body["model_version"], body["digit"]) == (1, 7)
    assert [len(row) for row in body["leaning"]] == [28] * 28
    assert max(abs(number) for row in body["leaning"] for number in row) == 1


def test_explanation_image_is_cacheable(submission, owner_client):
    make_prediction(submission)
    response = owner_client.get(address(submission, "explanation.png"))
    with Image.open(io.BytesIO(response.content)) as picture:
        assert (picture.format, picture.size, picture.mode) == ("PNG", (28, 28), "RGB")
    assert response["X-Content-Type-Options"] == "nosniff"
    again = owner_client.get(address(submission, "explanation.png"), headers={"if-none-match": response["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("part", ["explanation", "explanation.png"])
def test_explanation_without_prediction_is_a_conflict(part, submission, owner_client):
    response = owner_client.get(address(submission, part))
    assert response.status_code == 409
    assert "no answer yet" in response.json()["detail"]
