"""The review queue in the JSON API, for reviewers only."""

import pytest
from django.test import Client

from recognizer.models import Label, LabelReason, Skip, Submission, TruthState, Verdict
from recognizer.services.review import labels
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db

CALLS = {
    "next": (),
    "decisions": ("submission", "value"),
    "decisions/several": ("decisions",),
    "grid": ("digit",),
    "skips": ("submission",),
    "undo": ("submission",),
}


@pytest.fixture(autouse=True)
def without_random_items(settings):
    settings.REVIEW_RANDOM_SHARE = 0


@pytest.fixture
def submission(visitor) -> Submission:
    row = make_submission(visitor)
    make_prediction(row, verdict=Verdict.UNSURE, doubt=0.4)
    return row


def post(client: Client, call: str, **body):
    return client.post(f"/api/v1/review/{call}", body, content_type="application/json")


def test_next_items_include_prediction_suggestion_and_progress(reviewer_client, visitor, submission):
    labels.record_label(actor=visitor, submission=submission, value="1", reason=LabelReason.OWN_PAGE)
    body = post(reviewer_client, "next", rule="doubt", count=5).json()
    [item] = body["items"]
    assert (item["id"], item["reason"], item["blind"]) == (submission.public_id, "suggestion", False)
    assert item["answer"]["digit"] == 7
    assert item["suggestion"] == "1"
    assert body["progress"]["waiting"] == 1
    assert set(body["progress"]) == {"today", "per_minute", "waiting", "until_training"}


def test_blind_item_hides_prediction_and_suggestion(reviewer_client, second_reviewer, reviewer, submission):
    make_prediction(submission, verdict=Verdict.SURE, preprocessing_version=submission.preprocessing_version + 1)
    labels.record_label(actor=reviewer, submission=make_submission(), value="1", reason=LabelReason.API)
    labels.record_label(actor=second_reviewer, submission=submission, value="1", reason=LabelReason.DOUBT)
    [item] = post(reviewer_client, "next", rule="doubt").json()["items"]
    assert (item["id"], item["blind"]) == (submission.public_id, True)
    assert item["answer"] is item["suggestion"] is None


def test_item_can_be_decided_undone_and_skipped(reviewer_client, submission):
    post(reviewer_client, "next")
    name = {"submission": submission.public_id}
    created = post(reviewer_client, "decisions", **name, value="4")
    assert (created.status_code, created.json()["kind"], created.json()["reason"]) == (201, "review", "doubt")
    assert post(reviewer_client, "decisions", **name, value="4").json()["id"] == created.json()["id"]
    assert post(reviewer_client, "undo", **name).json()["item"]["id"] == submission.public_id
    assert post(reviewer_client, "skips", **name).status_code == 204
    assert Skip.objects.count() == 1
    submission.refresh_from_db()
    assert submission.truth_state == TruthState.NONE


def test_review_queue_is_closed_to_other_clients(clients_without_queue, submission):
    for client in clients_without_queue:
        for call, names in CALLS.items():
            decision = {"submission": submission.public_id, "value": "4"}
            fields = decision | {"decisions": [decision], "digit": 7}
            answer = post(client, call, **{name: fields[name] for name in names})
            assert answer.status_code == 403
            assert submission.public_id not in answer.content.decode()
    assert not Label.objects.exists()
    assert not Skip.objects.exists()


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("next", {"rule": "gut feeling"}, 400),
        ("next", {"count": 1000}, 400),
        ("decisions", {"submission": "nowhere", "value": "4"}, 404),
        ("decisions", {"submission": "nowhere"}, 400),
        ("decisions", {"submission": "nowhere", "value": "12"}, 400),
        ("skips", {}, 400),
        ("undo", {"submission": "nowhere"}, 404),
        ("undo", {"submission": "nowhere", "why": "because"}, 400),
    ],
)
def test_invalid_review_request_is_a_problem(reviewer_client, call, body, status):
    answer = post(reviewer_client, call, **body)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_grid_decisions_are_idempotent(reviewer_client, visitor):
    for _ in range(3):
        make_prediction(make_submission(visitor))
    make_prediction(make_submission(visitor), digit=4)
    body = post(reviewer_client, "grid", digit=7).json()
    assert (len(body["items"]), body["sizes"]["7"], body["sizes"]["4"]) == (3, 3, 1)
    ids = [item["id"] for item in body["items"]]
    decisions = [{"submission": item, "value": value} for item, value in zip(ids, "771", strict=True)]
    decisions.append({"submission": "nobody-knows-it", "value": "7"})
    decided = post(reviewer_client, "decisions/several", decisions=decisions).json()
    assert decided["missing"] == ["nobody-knows-it"]
    assert {item["reason"] for item in decided["labels"]} == {"grid"}
    again = post(reviewer_client, "decisions/several", decisions=decisions).json()
    assert sorted(item["id"] for item in again["labels"]) == sorted(item["id"] for item in decided["labels"])
    assert Label.objects.count() == 3


def test_invalid_decision_rejects_the_whole_list(reviewer_client, submission):
    right = {"submission": submission.public_id, "value": "4"}
    for wrong in ({"submission": submission.public_id, "value": "ten"}, {"submission": submission.public_id}, 7):
        response = post(reviewer_client, "decisions/several", decisions=[right, wrong])
        assert response.status_code == 400
        assert any(name.startswith("decisions.1") for name in response.json()["errors"])
    assert not Label.objects.exists()
