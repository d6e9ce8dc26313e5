"""`PUT /submissions/{id}/crop`: a submission is read again within another crop."""

import json

import pytest
from django.http import HttpResponse
from django.test import Client

from recognizer.models import Prediction, Source, Submission
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import predict
from recognizer.services.submissions import service
from tests.image_samples import SEVEN

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

BOX = [20, 10, 250, 260]


@pytest.fixture
def submission(visitor: Actor) -> Submission:
    """A predicted drawing."""
    row = service.create_from_strokes(actor=visitor, strokes=SEVEN, source=Source.API)
    predict.predict_batch([row.pk])
    return Submission.objects.get(pk=row.pk)


def put(client: Client, submission: Submission, crop: object, **headers: str) -> HttpResponse:
    return client.put(
        f"/api/v1/submissions/{submission.public_id}/crop",
        json.dumps({"crop": crop}),
        content_type="application/json",
        headers=headers,
    )


def test_new_crop_is_pending_until_it_is_predicted(client_of, visitor, submission):
    client = client_of(visitor)
    response = put(client, submission, BOX, Prefer="respond-async")
    assert (response.status_code, response["Retry-After"]) == (202, "1")
    document = response.json()
    assert (document["state"], document["crop"], document["prediction"]) == ("pending", BOX, None)
    predict.predict_batch([submission.pk])
    response = put(client, submission, BOX)
    assert response.status_code == 200
    document = response.json()
    assert (document["state"], document["prediction"]["crop"]) == ("predicted", BOX)
    assert Prediction.objects.count() == 2
    predictions = client.get("/api/v1/predictions").json()["results"]
    assert [prediction["crop"] for prediction in predictions] == [BOX, None]


def test_null_is_the_whole_image_and_a_box_is_clipped_to_it(client_of, visitor, submission):
    client = client_of(visitor)
    assert put(client, submission, [-9.5, 10.2, 250.5, 999]).json()["crop"] == [0, 10, 251, 280]
    assert put(client, submission, None).json()["crop"] is None


@pytest.mark.parametrize("crop", [[1, 2, 3], "box", [0, 0, True, 9], {}, [0, 0, 1e9, 9]])
def test_malformed_crop_is_invalid(client_of, visitor, submission, crop):
    response = put(client_of(visitor), submission, crop)
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert "crop" in response.json()["errors"]


@pytest.mark.parametrize(
    ("crop", "status", "code"), [([0, 0, 2, 280], 400, "bad_crop"), ([0, 0, 20, 20], 422, "blank")]
)
def test_box_without_a_digit_is_rejected(client_of, visitor, submission, crop, status, code):
    response = put(client_of(visitor), submission, crop)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert Submission.objects.get().state == "predicted"


def test_manage_key_permits_it_and_a_read_key_does_not(anonymous_client):
    row = service.create_from_strokes(actor=Actor(), strokes=SEVEN, source=Source.API)
    address = f"/api/v1/submissions/{row.public_id}/crop?key={permissions.read_key(row)}"
    body = json.dumps({"crop": BOX})
    assert anonymous_client.put(address, body, content_type="application/json").status_code == 403
    key = permissions.manage_key(row.public_id)
    assert put(anonymous_client, row, BOX, **{"X-Manage-Key": key}).status_code == 202
