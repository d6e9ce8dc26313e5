"""Labels in the API: create, read, list, retract."""

import json

import pytest
from django.http import HttpResponse
from django.test import Client

from recognizer.models import Label, Submission, TruthState
from recognizer.services.identity import permissions
from recognizer.services.submissions import service
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db


@pytest.fixture
def submission(visitor) -> Submission:
    submission = make_submission(visitor)
    make_prediction(submission)
    return submission


def create_label(
    client: Client, submission: Submission, value: object = "4", *, query: str = "", **fields: object
) -> HttpResponse:
    address = f"/api/v1/submissions/{submission.public_id}/labels{query}"
    return client.post(address, json.dumps({"value": value, **fields}), content_type="application/json")


def test_owners_label_is_a_suggestion_and_reviewers_label_settles(submission, owner_client, reviewer_client):
    response = create_label(owner_client, submission, reason="own_page")
    assert response.status_code == 201
    body = response.json()
    assert (body["kind"], body["value"], body["reason"], body["mine"]) == ("suggestion", "4", "own_page", True)
    assert create_label(reviewer_client, submission, "not_a_digit").json()["kind"] == "review"
    body = owner_client.get(f"/api/v1/submissions/{submission.public_id}").json()
    assert (body["truth"], body["truth_state"]) == ("not_a_digit", TruthState.SETTLED)


def test_strangers_and_key_holders_cannot_label(submission, other_client, anonymous_client, visitor):
    assert create_label(other_client, submission).status_code == 404
    for key in (permissions.read_key(submission), service.share(actor=visitor, submission=submission)):
        assert create_label(anonymous_client, submission, query=f"?key={key}").status_code == 403
    assert not Label.objects.exists()


@pytest.mark.parametrize(
    "bad", [{"value": "ten"}, {"value": 4}, {"value": None}, {"reason": "doubt"}, {"mood": "good"}]
)
def test_invalid_label_is_rejected(bad, submission, owner_client):
    response = create_label(owner_client, submission, **bad)
    assert response.status_code == 400
    assert list(response.json()["errors"]) == list(bad)
    assert not Label.objects.exists()


def test_labels_of_a_submission_are_listed_oldest_first(submission, owner_client, reviewer_client):
    create_label(owner_client, submission, "4")
    create_label(reviewer_client, submission, "9")
    results = owner_client.get(f"/api/v1/submissions/{submission.public_id}/labels").json()["results"]
    assert [(item["value"], item["mine"], item["by"]) for item in results] == [("4", True, None), ("9", False, None)]
    (newest, _) = reviewer_client.get("/api/v1/labels").json()["results"]
    assert (newest["value"], newest["mine"], newest["by"]) == ("9", True, "rita")
    assert len(reviewer_client.get("/api/v1/labels?kind=review").json()["results"]) == 1


def test_label_is_visible_to_those_who_see_its_submission(
    submission, owner_client, reviewer_client, other_client, anonymous_client
):
    pk = create_label(owner_client, submission).json()["id"]
    for client in (owner_client, reviewer_client):
        assert client.get(f"/api/v1/labels/{pk}").json()["value"] == "4"
    for client in (other_client, anonymous_client):
        assert client.get(f"/api/v1/labels/{pk}").status_code == 404
        assert client.get("/api/v1/labels").json()["results"] == []


def test_only_the_author_can_retract_a_label_and_only_once(submission, owner_client, reviewer_client, other_client):
    address = f"/api/v1/labels/{create_label(owner_client, submission).json()['id']}"
    assert other_client.delete(address).status_code == 404
    assert reviewer_client.delete(address).status_code == 403
    assert owner_client.delete(address).status_code == 204
    again = owner_client.delete(address)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    submission.refresh_from_db()
    assert submission.truth_state == TruthState.NONE
    retraction = owner_client.get(f"/api/v1/submissions/{submission.public_id}/labels").json()["results"][1]
    assert retraction["value"] is None
    assert address.endswith(f"/{retraction['retracts']}")


def test_repeated_label_is_stored_once(submission, owner_client, reviewer_client):
    first = create_label(owner_client, submission)
    for _ in range(3):
        again = create_label(owner_client, submission, reason="own_page")
        assert (again.status_code, again.json()) == (200, first.json())
    assert create_label(reviewer_client, submission).status_code == 201
    assert create_label(owner_client, submission, "9").status_code == 201
    assert create_label(owner_client, submission).status_code == 201  # changed, and changed back
    assert Label.objects.count() == 4


def test_retracted_label_can_be_created_again(submission, owner_client):
    pk = create_label(owner_client, submission).json()["id"]
    owner_client.delete(f"/api/v1/labels/{pk}")
    assert create_label(owner_client, submission).status_code == 201


def test_reviewers_label_counts_although_the_same_visitor_suggested_it(
    submission, owner_client, visitor, reviewer_client, reviewer
):
    submission.owner = reviewer.user
    submission.save()
    create_label(owner_client, submission)
    response = create_label(reviewer_client, submission)
    assert (response.status_code, response.json()["kind"]) == (201, "review")
