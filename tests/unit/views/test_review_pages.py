"""Tests of the review pages, bulk actions of History and the confusion matrix."""

import pytest
from django.test import Client
from django.urls import reverse

from recognizer.models import Label, LabelReason, Submission, TruthState, Verdict
from recognizer.services.review import labels
from tests.factories import make_prediction, make_submission
from tests.support.people import client_of

pytestmark = pytest.mark.django_db

PAGES = ("review", "review-grid", "review-figures", "matrix")
POSTS = ("review-decide", "review-grid", "history-bulk")


@pytest.fixture(autouse=True)
def no_chance(settings):
    settings.REVIEW_RANDOM_SHARE = 0


@pytest.fixture
def rows(visitor) -> list[Submission]:
    submissions = [make_submission(visitor) for _ in range(4)]
    for row in submissions:
        make_prediction(row, verdict=Verdict.UNSURE, doubt=0.4)
    return submissions


def truths() -> list[str]:
    return sorted(Submission.objects.values_list("truth", flat=True))


def test_reviewer_can_open_every_page_and_sees_it_in_the_navigation(reviewer_client, rows):
    for name in PAGES:
        assert reviewer_client.get(reverse(name)).status_code == 200
    assert 'href="/review/"' in reviewer_client.get("/").content.decode()


def test_every_page_opens_on_an_empty_site(reviewer_client):
    for name in PAGES:
        assert reviewer_client.get(reverse(name)).status_code == 200


def test_an_operator_may_review_too(operator, rows):
    assert client_of(operator).get(reverse("review")).status_code == 200


def test_other_users_can_neither_open_nor_change_anything(clients_without_queue, rows):
    body = {"submission": rows[0].public_id, "s": rows[0].public_id, "shown": rows[0].public_id}
    for client in clients_without_queue:
        for name in PAGES:
            answer = client.get(reverse(name))
            assert answer.status_code == 403
            assert rows[0].public_id not in answer.content.decode()
        for name in POSTS:
            assert client.post(reverse(name), body | {"act": "7", "digit": "7", "value": "7"}).status_code == 403
        assert 'href="/review/"' not in client.get("/").content.decode()
    assert not Label.objects.exists()


def test_the_forms_decide_skip_and_undo(reviewer_client, rows):
    shown = reviewer_client.get(reverse("review")).context["submission"]
    url = reverse("review-decide")
    answer = reviewer_client.post(url, {"submission": shown.public_id, "act": "3", "rule": "newest"})
    assert answer.headers["Location"] == "/review/?rule=newest"
    assert truths() == ["", "", "", "3"]
    reviewer_client.post(url, {"submission": shown.public_id, "act": "undo"})
    assert truths() == [""] * 4
    assert reviewer_client.get(reverse("review")).context["submission"] == shown
    reviewer_client.post(url, {"submission": shown.public_id, "act": "skip"})
    assert reviewer_client.get(reverse("review")).context["submission"] != shown


def test_blind_item_shows_neither_prediction_nor_labels(reviewer_client, reviewer, second_reviewer, rows):
    labels.record_label(actor=reviewer, submission=make_submission(), value="1", reason=LabelReason.API)
    make_prediction(rows[0], preprocessing_version=rows[0].preprocessing_version + 1)
    labels.record_label(actor=second_reviewer, submission=rows[0], value="1", reason=LabelReason.DOUBT)
    page = reviewer_client.get(reverse("review"))
    assert page.context["submission"] == rows[0]
    text = page.content.decode()
    assert "Right, it is" not in text
    assert (
        "The visitor says: <strong data-suggestion></strong>" in " ".join(text.split())
        or page.context["item"].suggestion == ""
    )
    assert page.context["answer"] is None


def test_a_grid_is_confirmed_in_one_request(reviewer_client, rows):
    page = reviewer_client.get(reverse("review-grid"), {"digit": "7"})
    ids = [item.submission.public_id for item in page.context["items"]]
    body = {"digit": "7", "shown": ids, f"is-{ids[0]}": "1", f"is-{ids[1]}": "wrong"}
    reviewer_client.post(reverse("review-grid"), body)
    assert truths() == ["", "1", "7", "7"]
    assert set(Label.objects.values_list("reason", flat=True)) == {LabelReason.GRID}
    reviewer_client.post(reverse("review-grid"), body)
    assert Label.objects.count() == 3


def test_invalid_grid_form_changes_nothing(reviewer_client, rows):
    for body in ({"digit": "x"}, {"digit": "7", f"is-{rows[0].public_id}": "twelve"}):
        reviewer_client.post(reverse("review-grid"), body | {"shown": [rows[0].public_id]})
    assert not Label.objects.exists()


def test_reviewer_labels_several_submissions_in_history(reviewer_client, rows):
    ids = [row.public_id for row in rows[:3]]
    back = reviewer_client.post(
        reverse("history-bulk"), {"act": "label", "value": "5", "s": ids, "next": "/history/?digit=7"}
    )
    assert back.headers["Location"] == "/history/?digit=7"
    assert truths() == ["", "5", "5", "5"]
    assert set(Label.objects.values_list("reason", flat=True)) == {LabelReason.HISTORY}


def test_bulk_action_does_not_redirect_to_another_site(reviewer_client, rows):
    back = reviewer_client.post(reverse("history-bulk"), {"act": "label", "next": "//elsewhere.example/"})
    assert back.headers["Location"] == "/history/"


def test_only_operators_bulk_delete_and_must_confirm(reviewer_client, operator, rows, media):
    body = {"s": [row.public_id for row in rows[:2]], "next": "/history/"}
    reviewer_client.post(reverse("history-bulk"), body | {"act": "delete-now"})
    assert Submission.objects.count() == 4
    operating = client_of(operator)
    assert "Delete 2 for good?" in operating.post(reverse("history-bulk"), body | {"act": "delete"}).content.decode()
    assert Submission.objects.count() == 4
    operating.post(reverse("history-bulk"), body | {"act": "delete-now"})
    assert Submission.objects.count() == 2


def test_matrix_cell_links_to_its_submissions(reviewer_client, reviewer, rows):
    for row, value in zip(rows, ("7", "7", "1", "not_a_digit"), strict=True):
        labels.record_label(actor=reviewer, submission=row, value=value, reason=LabelReason.DOUBT)
    page = reviewer_client.get(reverse("matrix"))
    matrix = page.context["matrix"]
    assert (matrix.total, matrix.right) == (3, 2)
    assert matrix.cells[1][7] == 1
    url = page.context["rows"][1]["cells"][7]["url"]
    assert reviewer_client.get(url).context["page"].rows == [rows[2]]


def test_matrix_of_an_older_version_counts_its_predictions(reviewer_client, reviewer, rows):
    from digitsite.testing.populated_site import second_version

    make_prediction(rows[0], version=second_version(), digit=1, runner_up=7, verdict=Verdict.UNSURE)
    labels.record_label(actor=reviewer, submission=rows[0], value="1", reason=LabelReason.DOUBT)
    for number, digit in ((1, 7), (2, 1)):
        page = reviewer_client.get(reverse("matrix"), {"version": number})
        assert page.context["matrix"].cells[1][digit] == page.context["matrix"].total == 1
        url = page.context["rows"][1]["cells"][digit]["url"]
        assert reviewer_client.get(url).context["page"].rows == [rows[0]]
    assert reviewer_client.get(reverse("matrix"), {"version": 99}).status_code == 404


def test_history_of_a_visitor_has_no_checkboxes(visitor, reviewer_client, rows):
    assert "data-choose" not in client_of(visitor).get(reverse("history")).content.decode()
    assert "data-choose" in reviewer_client.get(reverse("history")).content.decode()


def test_stranger_cannot_filter_for_submissions_of_other_users(rows):
    page = Client().get(reverse("history"), {"predicted": "1:7"})
    assert page.context["page"].rows == []


@pytest.mark.parametrize("name", ["predicted", "said"])
def test_history_shows_the_prediction_filter_under_both_names(reviewer_client, rows, name):
    page = reviewer_client.get(reverse("history"), {name: "1:7"})
    assert page.context["filters"]["predicted"] == {"value": "1:7", "version": "1", "digit": "7"}


def test_history_filters_by_settled_consensus(reviewer_client, reviewer, rows):
    labels.record_label(actor=reviewer, submission=rows[0], value="7", reason=LabelReason.DOUBT)
    page = reviewer_client.get(reverse("history"), {"truth_state": TruthState.SETTLED.value, "truth": "7"})
    assert page.context["page"].rows == [rows[0]]
