"""Tests of requests from pages whose account is no longer signed in."""

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from digitsite.testing.users import member_of
from recognizer.models import Label, Submission
from recognizer.services.identity.account_tags import account_tag
from recognizer.services.identity.actors import Actor
from tests.factories import make_prediction, make_submission
from tests.image_samples import SEVEN
from tests.support.people import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

SUBMISSIONS = "/api/v1/submissions"


def submit(client: Client, tag: str | None):
    headers = {} if tag is None else {"X-Page-Account": tag}
    return client.post(SUBMISSIONS, json.dumps({"strokes": SEVEN}), content_type="application/json", headers=headers)


@pytest.fixture
def robin() -> Actor:
    return member_of("reviewer", "robin")


@pytest.fixture
def submission(visitor: Actor) -> Submission:
    row = make_submission(visitor)
    make_prediction(row)
    return row


def test_account_tags_differ_and_do_not_reveal_the_account(reviewer: Actor, robin: Actor) -> None:
    tags = {account_tag(reviewer.user), account_tag(robin.user)}
    assert len(tags) == 2
    assert all(len(tag) == 16 for tag in tags)
    assert account_tag(None) == ""


def test_request_of_the_pages_account_succeeds(reviewer: Actor) -> None:
    assert submit(client_of(reviewer), account_tag(reviewer.user)).status_code in (201, 202)


@pytest.mark.parametrize("fixture_name", ["visitor", "anonymous_client"])
def test_signed_out_page_gets_401_even_if_visitors_are_allowed(
    fixture_name: str, reviewer: Actor, request: pytest.FixtureRequest
) -> None:
    client = (
        client_of(request.getfixturevalue(fixture_name))
        if fixture_name == "visitor"
        else request.getfixturevalue(fixture_name)
    )
    answer = submit(client, account_tag(reviewer.user))
    assert (answer.status_code, answer.json()["code"]) == (401, "signed_out")
    assert answer["WWW-Authenticate"]
    assert not Submission.objects.exists()
    assert submit(client, None).status_code in (201, 202)


def test_page_of_another_account_gets_403_with_its_own_code(
    reviewer: Actor, robin: Actor, submission: Submission
) -> None:
    decision = json.dumps({"submission": submission.public_id, "value": "4"})
    for tag in (account_tag(reviewer.user), "", "é" * 99):
        answer = client_of(robin).post(
            reverse("api-review-decisions"), decision, "application/json", headers={"X-Page-Account": tag}
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "other_account"), tag
    assert not Label.objects.exists()


def test_account_without_the_role_gets_a_different_code(submission: Submission) -> None:
    vera = Actor(user=User.objects.create_user("vera"))
    answer = client_of(vera).post(
        reverse("api-review-next"), "{}", "application/json", headers={"X-Page-Account": account_tag(vera.user)}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_missing_csrf_token_has_its_own_code(reviewer: Actor) -> None:
    client = client_of(reviewer, csrf=True)
    answer = submit(client, account_tag(reviewer.user))
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    form = client.post(reverse("history-bulk"), {"act": "label"}, headers={"Accept": "application/json"})
    assert (form.status_code, form.json()["code"]) == (403, "csrf_failed")
    assert "expired" in client.post(reverse("history-bulk"), {"act": "label"}).content.decode()


def test_a_form_of_another_account_changes_nothing(reviewer: Actor, robin: Actor, submission: Submission) -> None:
    address = reverse("submission-label", args=[submission.public_id])
    answer = client_of(robin).post(address, {"value": "4", "page_account": account_tag(reviewer.user)})
    assert answer.status_code == 403
    assert "Another account is signed in now" in answer.content.decode()
    assert not Label.objects.exists()
    client_of(robin).post(address, {"value": "4", "page_account": account_tag(robin.user)})
    assert Label.objects.get().user == robin.user


def test_form_of_an_ended_session_returns_to_its_page_after_signing_in(
    reviewer: Actor, visitor: Actor, submission: Submission
) -> None:
    address, page = reverse("submission-label", args=[submission.public_id]), submission.get_absolute_url()
    form = {"value": "4", "page_account": account_tag(reviewer.user)}
    answer = client_of(visitor).post(address, form, headers={"Referer": f"http://localhost{page}"})
    assert answer.status_code == 401
    assert f'{reverse("login")}?next={page}"' in answer.content.decode()
    assert not Label.objects.exists()
    elsewhere = client_of(visitor).post(address, form, headers={"Referer": f"https://evil.example{page}"})
    assert f'{reverse("login")}?next=/"' in elsewhere.content.decode()


def test_script_gets_the_location_of_a_redirect_without_following_it(reviewer: Actor, submission: Submission) -> None:
    form = {"act": "label", "s": submission.public_id, "value": "5", "next": "/history/?digit=7"}
    headers = {"X-Page-Account": account_tag(reviewer.user)}
    client = client_of(reviewer)
    answer = client.post(reverse("history-bulk"), form, headers=headers)
    assert (answer.status_code, answer["Location"]) == (204, "/history/?digit=7")
    assert "1 labelled: 5." in client.get("/history/").content.decode()


def test_user_can_switch_accounts_on_the_sign_in_page(reviewer: Actor, robin: Actor) -> None:
    robin.user.set_password("correct horse battery staple")
    robin.user.save()
    client = client_of(reviewer)
    address = reverse("login")
    assert client.get(address).status_code == 302
    assert f"{reviewer.user.username}</strong> is signed in" in client.get(f"{address}?switch=1").content.decode()
    form = {"username": "robin", "password": "correct horse battery staple", "next": "/review/"}
    assert client.post(f"{address}?switch=1", form)["Location"] == "/review/"
    assert client.get("/api/v1/me").json()["user"] == "robin"
