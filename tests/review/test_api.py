"""The review queue through the JSON API: what reviewers get, and that nobody else gets anything."""

import pytest
from django.test import Client

from recognizer.models import Label, LabelReason, Skip, Submission, TruthState, Verdict
from recognizer.services import labels
from tests.rows import make_prediction, make_submission

pytestmark = pytest.mark.django_db

CALLS = ("next", "decisions", "skips", "undo")


@pytest.fixture(autouse=True)
def no_chance(settings):
    settings.REVIEW_RANDOM_SHARE = 0


@pytest.fixture
def submission(visitor) -> Submission:
    row = make_submission(visitor)
    make_prediction(row, verdict=Verdict.UNSURE, doubt=0.4)
    return row


def post(client: Client, call: str, **body):
    return client.post(f"/api/v1/review/{call}", body, content_type="application/json")


def test_the_next_items_come_with_answer_suggestion_and_progress(reviewing, visitor, submission):
    labels.label(actor=visitor, submission=submission, value="1", reason=LabelReason.OWN_PAGE)
    body = post(reviewing, "next", rule="doubt", count=5).json()
    [item] = body["items"]
    assert (item["id"], item["reason"], item["blind"]) == (submission.public_id, "suggestion", False)
    assert item["answer"]["digit"] == 7
    assert item["suggestion"] == "1"
    assert body["progress"]["waiting"] == 1
    assert set(body["progress"]) == {"today", "per_minute", "waiting", "until_training"}


def test_a_blind_item_tells_neither_answer_nor_what_others_said(reviewing, second_reviewer, reviewer, submission):
    make_prediction(submission, verdict=Verdict.SURE, preprocessing_version=2)
    labels.label(actor=reviewer, submission=make_submission(), value="1", reason=LabelReason.API)
    labels.label(actor=second_reviewer, submission=submission, value="1", reason=LabelReason.DOUBT)
    [item] = post(reviewing, "next", rule="doubt").json()["items"]
    assert (item["id"], item["blind"]) == (submission.public_id, True)
    assert item["answer"] is item["suggestion"] is None


def test_decide_skip_and_undo(reviewing, submission):
    post(reviewing, "next")
    name = {"submission": submission.public_id}
    made = post(reviewing, "decisions", **name, value="4")
    assert (made.status_code, made.json()["kind"], made.json()["reason"]) == (201, "review", "doubt")
    assert post(reviewing, "decisions", **name, value="4").json()["id"] == made.json()["id"]
    assert post(reviewing, "undo", **name).json()["item"]["id"] == submission.public_id
    assert post(reviewing, "skips", **name).status_code == 204
    assert Skip.objects.count() == 1
    submission.refresh_from_db()
    assert submission.truth_state == TruthState.NONE


def test_nobody_else_sees_or_decides_anything(others, submission):
    for client in others:
        for call in CALLS:
            body = {} if call == "next" else {"submission": submission.public_id}
            body |= {"value": "4"} if call == "decisions" else {}
            answer = post(client, call, **body)
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
def test_what_makes_no_sense_is_refused_with_a_problem(reviewing, call, body, status):
    answer = post(reviewing, call, **body)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
