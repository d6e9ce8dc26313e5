"""Personal tokens: creation, storage as a hash, expiry, deletion and inactive accounts."""

import json
import re
import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from digitsite.testing.site import Site
from recognizer.models import Token
from recognizer.services.identity import tokens
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.tokens import TokenError
from tests.support.people import client_of

pytestmark = pytest.mark.django_db

TOKENS = "/api/v1/tokens"
ME = "/api/v1/me"


@pytest.fixture
def ann() -> Actor:
    return Actor(user=User.objects.create_user("ann"))


def bearer(key: str) -> Client:
    return Client(HTTP_HOST="localhost", headers={"Authorization": f"Bearer {key}"})


def create_token(client: Client, **body: object) -> HttpResponse:
    return client.post(TOKENS, {"name": "scanner", "scopes": ["read"]} | body, content_type="application/json")


# --- Create, list, delete --------------------------------------------------------------------------------------------


def test_token_key_is_shown_once_and_stored_as_a_hash(ann: Actor) -> None:
    browser = client_of(ann)
    created = create_token(browser, scopes=["submit", "read"], days=10)
    assert created.status_code == 201
    key = created.json()["key"]
    assert re.fullmatch(r"digits_[\w-]{43}", key)
    rows = browser.get(TOKENS).json()["results"]
    assert [(item["name"], item["scopes"], item["last_used"]) for item in rows] == [
        ("scanner", ["read", "submit"], None)
    ]
    assert key not in json.dumps(rows)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM recognizer_token")
        assert key.removeprefix("digits_") not in str(cursor.fetchall())
    me = bearer(key).get(ME).json()
    assert (me["user"], me["token"]["name"], me["may_submit"], me["may_review"]) == ("ann", "scanner", True, False)


def test_token_can_be_deleted_only_by_its_owner(ann: Actor, reviewer: Actor) -> None:
    browser = client_of(ann)
    created = create_token(browser).json()
    address = f"{TOKENS}/{created['id']}"
    assert client_of(reviewer).delete(address).status_code == 404
    assert bearer(created["key"]).get(ME).status_code == 200
    assert browser.delete(address).status_code == 204
    assert bearer(created["key"]).get(ME).status_code == 401
    assert browser.delete(address).status_code == 404


def test_token_cannot_manage_tokens(ann: Actor) -> None:
    _, key = tokens.create(actor=ann, name="all", scopes=["read", "submit"])
    program = bearer(key)
    assert create_token(program, name="more").status_code == 403
    assert program.get(TOKENS).status_code == 403
    assert program.delete(f"{TOKENS}/{Token.objects.get().pk}").status_code == 403
    assert Token.objects.count() == 1


@pytest.mark.usefixtures("visitor")
def test_clients_without_an_account_have_no_tokens(anonymous_client: Client, owner_client: Client) -> None:
    for client in (anonymous_client, owner_client):
        assert create_token(client).status_code == client.get(TOKENS).status_code == 403


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"name": "taken"}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes.0"),
        ({"scopes": ["review"]}, "scopes"),
        ({"scopes": "read"}, "scopes"),
        ({"days": 0}, "days"),
        ({"days": 366}, "days"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_invalid_token_request_is_rejected(bad: dict, field: str, ann: Actor) -> None:
    tokens.create(actor=ann, name="taken", scopes=["read"])
    response = create_token(client_of(ann), **bad)
    assert response.status_code == 400
    assert list(response.json()["errors"]) == [field]
    assert Token.objects.count() == 1


def test_long_list_of_scopes_is_one_error(ann: Actor) -> None:
    response = create_token(client_of(ann), scopes=["everything"] * 200)
    assert (response.status_code, list(response.json()["errors"])) == (400, ["scopes"])


def test_scope_is_ineffective_after_the_account_lost_the_permission(reviewer: Actor) -> None:
    _, key = tokens.create(actor=reviewer, name="reviews", scopes=["read", "review"])
    assert bearer(key).get(ME).json()["may_review"]
    reviewer.user.groups.clear()
    assert not bearer(key).get(ME).json()["may_review"]


def test_number_of_tokens_is_limited(ann: Actor) -> None:
    for number in range(tokens.MAX_TOKENS):
        tokens.create(actor=ann, name=str(number), scopes=["read"])
    with pytest.raises(TokenError, match="Delete one"):
        tokens.create(actor=ann, name="one more", scopes=["read"])


@pytest.mark.django_db(transaction=True)
def test_concurrent_tokens_with_the_same_name_are_rejected(site: Site) -> None:
    with site.entered():
        ann = Actor(user=User.objects.create_user("ann"))
        outcomes: list[str] = []
        barrier = threading.Barrier(4)

        def try_it() -> None:
            barrier.wait()
            try:
                tokens.create(actor=ann, name="scanner", scopes=["read"])
                outcomes.append("made")
            except TokenError:
                outcomes.append("refused")
            finally:
                connection.close()

        threads = [threading.Thread(target=try_it) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["made", "refused", "refused", "refused"]


# --- Authentication --------------------------------------------------------------------------------------------------


def test_invalid_token_is_401_with_challenge(ann: Actor) -> None:
    _, key = tokens.create(actor=ann, name="scanner", scopes=["read"])
    Token.objects.update(expires=timezone.now() - timedelta(seconds=1))
    for value, expected_text in [
        (f"Bearer {key}", "expired"),
        ("Bearer digits_unknown", "unknown"),
        (f"bearer   {key} ", "expired"),
        (f"Token {key}", "expired"),
        ("Bearer", "cannot be read"),
        ("bearer  ", "cannot be read"),
        ("Bearer \xff\xfe", "cannot be read"),
        ("\xff\xfe", "cannot be read"),
        (f"Bearer {key}\xa0", "cannot be read"),
        (f"Bearer {key} {key}", "cannot be read"),
        (f"Bearer {'x' * 30_000}", "cannot be read"),
        # Two headers, joined by the web server.
        (f"Bearer {key}, Bearer {key}", "cannot be read"),
        (f"Basic YTpi,Bearer {key}", "cannot be read"),
        # A header that the web server cannot decode.
        ("", "cannot be read"),
        (" ", "cannot be read"),
    ]:
        response = Client(HTTP_HOST="localhost", headers={"Authorization": value}).get("/api/v1/submissions")
        assert response.status_code == 401, value
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'
        assert expected_text in response.json()["detail"]
        assert response.json()["code"] == "authentication_failed"


def test_token_of_an_inactive_account_is_rejected(ann: Actor) -> None:
    _, key = tokens.create(actor=ann, name="scanner", scopes=["read"])
    User.objects.update(is_active=False)
    response = bearer(key).get(ME)
    assert (response.status_code, "switched off" in response.json()["detail"]) == (401, True)


def test_basic_authorization_is_ignored() -> None:
    assert Client(HTTP_HOST="localhost", headers={"Authorization": "Basic YTpi"}).get(ME).status_code == 200


def test_invalid_token_is_rejected_despite_a_session(ann: Actor) -> None:
    browser = client_of(ann)
    assert browser.get(ME, headers={"Authorization": "Bearer digits_unknown"}).status_code == 401


def test_token_takes_precedence_over_cookies(ann: Actor, reviewer: Actor) -> None:
    _, key = tokens.create(actor=ann, name="scanner", scopes=["submit", "read"])
    browser = client_of(reviewer, csrf=True)
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=0"}
    assert browser.get(ME, headers=headers).json()["user"] == "ann"
    body = {"strokes": [[[60, 200, 120], [60, 60, 230]]]}
    response = browser.post("/api/v1/submissions", body, content_type="application/json", headers=headers)
    assert (response.status_code, response.json()["source"], response.json()["mine"]) == (202, "api", True)


def test_last_use_is_written_at_most_every_few_minutes(ann: Actor) -> None:
    _, key = tokens.create(actor=ann, name="scanner", scopes=["read"])
    assert bearer(key).get(ME).status_code == 200
    first = Token.objects.get().last_used
    assert timezone.now() - first < timedelta(minutes=1)
    with CaptureQueriesContext(connection) as queries:
        tokens.authenticate(key)
    assert len(queries) == 1
    Token.objects.update(last_used=first - timedelta(minutes=6))
    tokens.authenticate(key)
    assert Token.objects.get().last_used >= first


# --- The page --------------------------------------------------------------------------------------------------------


def test_token_page_creates_shows_and_deletes_tokens(ann: Actor) -> None:
    browser = client_of(ann)
    assert 'name="scopes" value="review"' not in browser.get(reverse("tokens")).content.decode()
    page = browser.post(reverse("tokens"), {"name": "scanner", "scopes": ["read"], "days": "30"}).content.decode()
    [key] = re.findall(r'value="(digits_[\w-]+)"', page)
    assert bearer(key).get(ME).status_code == 200
    again = browser.get(reverse("tokens")).content.decode()
    assert "scanner" in again
    assert key not in again
    after = browser.post(reverse("token-delete", args=[Token.objects.get().pk]), follow=True).content.decode()
    assert "The token scanner opens nothing any more." in after
    assert bearer(key).get(ME).status_code == 401


def test_token_page_shows_errors(ann: Actor, reviewer: Actor, anonymous_client: Client) -> None:
    browser = client_of(ann)
    for bad in ({"name": ""}, {"scopes": []}, {"scopes": ["operate"]}, {"days": "0"}, {"days": "ten"}):
        response = browser.post(reverse("tokens"), {"name": "scanner", "scopes": ["read"], "days": "30"} | bad)
        assert response.status_code == 422
        assert 'class="text-error"' in response.content.decode()
    assert not Token.objects.exists()
    tokens.create(actor=ann, name="scanner", scopes=["read"])
    assert client_of(reviewer).post(reverse("token-delete", args=[Token.objects.get().pk])).status_code == 404
    assert anonymous_client.get(reverse("tokens")).status_code == 302
