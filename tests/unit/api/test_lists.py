"""Lists: visibility, pagination and filters."""

import base64
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from recognizer.models import LabelReason, Submission, Verdict
from recognizer.services.identity.actors import Actor
from recognizer.services.review import labels
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db

ADDRESS = "/api/v1/submissions"


def ids(response) -> list[str]:
    assert response.status_code == 200, response.json()
    return [item["id"] for item in response.json()["results"]]


def test_visitors_see_their_own_submissions_and_reviewers_see_all(
    visitor, stranger, owner_client, other_client, reviewer_client, operator_client, anonymous_client
):
    own_submission, other_submission = make_submission(visitor), make_submission(stranger)
    assert ids(owner_client.get(ADDRESS)) == [own_submission.public_id]
    assert ids(other_client.get(ADDRESS)) == [other_submission.public_id]
    assert (
        ids(reviewer_client.get(ADDRESS))
        == ids(operator_client.get(ADDRESS))
        == [other_submission.public_id, own_submission.public_id]
    )
    assert ids(anonymous_client.get(ADDRESS)) == []


@pytest.mark.parametrize("name", ["predicted", "said"])
def test_submissions_can_be_filtered_by_the_prediction_of_one_version(visitor, owner_client, caplog, name):
    submission = make_submission(visitor)
    prediction = make_prediction(submission, digit=7)
    caplog.set_level("INFO", logger="recognizer.filters")
    assert ids(owner_client.get(f"{ADDRESS}?{name}={prediction.version.number}:7")) == [submission.public_id]
    assert ids(owner_client.get(f"{ADDRESS}?{name}={prediction.version.number}:1")) == []
    assert owner_client.get(f"{ADDRESS}?{name}=7").status_code == 400
    assert ("deprecated_parameter_used" in caplog.text) is (name == "said")


def test_reviewer_can_filter_own_submissions(reviewer, visitor, reviewer_client):
    own, _ = make_submission(reviewer), make_submission(visitor)
    assert ids(reviewer_client.get(f"{ADDRESS}?mine=true")) == [own.public_id]
    assert len(ids(reviewer_client.get(f"{ADDRESS}?mine=false"))) == 2


def test_pages_contain_each_row_once_while_rows_are_added_and_deleted(visitor, owner_client):
    rows = [make_submission(visitor).public_id for _ in range(23)]
    listed_ids, address = [], f"{ADDRESS}?page_size=5"
    while address:
        body = owner_client.get(address).json()
        listed_ids += [item["id"] for item in body["results"]]
        make_submission(visitor)
        Submission.objects.filter(public_id=listed_ids[-1]).delete()
        address = body["next"]
    assert listed_ids == rows[::-1]


@pytest.mark.parametrize("ordering", ["-created", "created", "-doubt", "doubt"])
def test_previous_links_lead_back_through_the_same_pages(ordering, visitor, owner_client):
    for number in range(12):
        make_prediction(make_submission(visitor), doubt=number % 3 / 7)
    all_ids = ids(owner_client.get(f"{ADDRESS}?ordering={ordering}"))
    pages, address = [], f"{ADDRESS}?ordering={ordering}&page_size=5"
    while address:
        body = owner_client.get(address).json()
        pages.append(body)
        address = body["next"]
    assert [item["id"] for body in pages for item in body["results"]] == all_ids
    page = pages[-1]
    for body in reversed(pages[:-1]):
        page = owner_client.get(page["previous"]).json()
        assert page["results"] == body["results"]
    assert page["previous"] is None
    assert pages[0]["previous"] is None


def test_ordering_by_doubt_leaves_out_pending_submissions(visitor, owner_client):
    sure, _, unsure = (make_submission(visitor) for _ in range(3))
    make_prediction(sure, doubt=0.1)
    make_prediction(unsure, doubt=0.9)
    assert ids(owner_client.get(f"{ADDRESS}?ordering=-doubt")) == [unsure.public_id, sure.public_id]
    assert ids(owner_client.get(f"{ADDRESS}?ordering=doubt")) == [sure.public_id, unsure.public_id]


def test_cursor_of_another_ordering_is_rejected(visitor, owner_client):
    for _ in range(3):
        make_prediction(make_submission(visitor))
    address = owner_client.get(f"{ADDRESS}?page_size=1&ordering=-doubt").json()["next"]
    response = owner_client.get(address.replace("ordering=-doubt", "ordering=-created"))
    assert (response.status_code, list(response.json()["errors"])) == (400, ["cursor"])


@pytest.mark.parametrize(
    "bad",
    [
        *("cursor=x", "cursor=W10", "cursor=WzEsMl0", "cursor=WyJ4Il0", "cursor=WzEsIngiXQ", "cursor=%00"),
        *("page_size=", "page_size=5&page_size=5", "page_size=0", "page_size=201", "page_size=ten", "page_size=-1"),
        *("digit=10", "digit=x", "verdict=perhaps", "mine=maybe", "certainty_min=2", "certainty_max=NaN"),
        *("created_after=yesterday", "version=1.5", "ordering=digit", "truth=12", "surname=Smith", "source=fax"),
    ],
)
def test_invalid_parameter_is_rejected_with_its_name(bad, owner_client):
    response = owner_client.get(f"{ADDRESS}?{bad}")
    assert response.status_code == 400
    assert list(response.json()["errors"]) == [bad.partition("=")[0]]


def test_submissions_are_filtered(visitor, reviewer, owner_client):
    seven, four, pending = make_submission(visitor), make_submission(visitor, source="api"), make_submission(visitor)
    make_prediction(seven)
    make_prediction(four, digit=4, certainty=0.5, verdict=Verdict.UNSURE)
    labels.record_label(actor=reviewer, submission=four, value="9", reason=LabelReason.API)
    names = {seven.public_id: "seven", four.public_id: "four", pending.public_id: "pending"}
    tomorrow = (timezone.now() + timedelta(days=1)).date().isoformat()
    for query, expected in {
        "digit=7": ["seven"],
        "digit=7&digit=4": ["four", "seven"],
        "verdict=unsure": ["four"],
        "certainty_min=0.6": ["seven"],
        "certainty_max=0.6": ["four"],
        "source=api": ["four"],
        "state=pending": ["pending"],
        "version=1": ["four", "seven"],
        "version=2": [],
        "truth=9": ["four"],
        "truth_state=settled": ["four"],
        "corrected=true": ["four"],
        "corrected=false": ["pending", "seven"],
        f"created_before={tomorrow}": ["pending", "four", "seven"],
        f"created_after={tomorrow}": [],
    }.items():
        assert [names[item] for item in ids(owner_client.get(f"{ADDRESS}?{query}"))] == expected, query


def test_predictions_are_filtered(visitor, reviewer, owner_client):
    right, wrong, open_ = (make_submission(visitor) for _ in range(3))
    make_prediction(right)
    make_prediction(wrong, certainty=0.5, doubt=0.7, verdict=Verdict.UNSURE)
    make_prediction(open_)
    labels.record_label(actor=reviewer, submission=right, value="7", reason=LabelReason.API)
    labels.record_label(actor=reviewer, submission=wrong, value="1", reason=LabelReason.API)
    names = {right.public_id: "right", wrong.public_id: "wrong", open_.public_id: "open"}
    for query, expected in {
        "reviewed=true": ["wrong", "right"],
        "reviewed=false": ["open"],
        "correct=true": ["right"],
        "correct=false": ["wrong"],
        "digit=7": ["open", "wrong", "right"],
        "digit=3": [],
        "source=canvas": ["open", "wrong", "right"],
        "version=1": ["open", "wrong", "right"],
        "version=2": [],
        "verdict=unsure": ["wrong"],
        "certainty_max=0.6": ["wrong"],
        f"submission={wrong.public_id}": ["wrong"],
        "ordering=created": ["right", "wrong", "open"],
        "ordering=-doubt": ["wrong", "open", "right"],
        "ordering=doubt": ["right", "open", "wrong"],
    }.items():
        results = owner_client.get(f"/api/v1/predictions?{query}").json()["results"]
        assert [names[item["submission"]] for item in results] == expected, query


@pytest.mark.parametrize("address", [ADDRESS, "/api/v1/predictions", "/api/v1/labels"])
def test_query_count_does_not_depend_on_the_length_of_a_list(address, visitor, owner_client):
    counts = []
    for rows in (1, 10):
        for _ in range(rows):
            submission = make_submission(visitor)
            make_prediction(submission)
            labels.record_label(actor=visitor, submission=submission, value="7", reason=LabelReason.API)
        with CaptureQueriesContext(connection) as queries:
            assert len(owner_client.get(address).json()["results"]) >= rows
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 2


def test_anonymous_client_owns_no_submissions(anonymous_client):
    make_submission(Actor())
    assert ids(anonymous_client.get(ADDRESS)) == []


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("created_after", "0001-01-01T00:00:00+14:00"),
        ("created_before", "9999-12-31T23:59:59-14:00"),
        ("cursor", base64.urlsafe_b64encode(b"[" * 5_000).decode()),
        ("page_size", "9" * 5_000),
    ],
)
def test_extreme_parameter_value_is_rejected(parameter, value, owner_client):
    response = owner_client.get(ADDRESS, {parameter: value})
    assert response.status_code == 400
    assert parameter in response.json()["errors"]
