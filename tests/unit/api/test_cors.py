"""Pages of other sites may use the API where a setting says so, with a token or as nobody, never with our cookies."""

import pytest
from django.http import HttpResponse
from django.test import Client

from recognizer.services.identity.actors import Actor
from tests.support.people import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only]

ORIGIN = "https://app.example.com"
ADDRESS = "/api/v1/submissions"


def ask_first(client: Client, *, origin: str = ORIGIN, address: str = ADDRESS) -> HttpResponse:
    """What a browser asks before a page's script may send."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, prefer",
    }
    return client.options(address, headers=headers)


def test_by_itself_the_site_lets_nobody_in(anonymous_client: Client) -> None:
    assert "Access-Control-Allow-Origin" not in ask_first(anonymous_client).headers
    assert "Access-Control-Allow-Origin" not in anonymous_client.get(ADDRESS, headers={"Origin": ORIGIN}).headers


def test_an_origin_that_is_named_may_use_the_api_and_no_page(anonymous_client: Client, settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]
    asked = ask_first(anonymous_client)
    assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    allowed = asked.headers["Access-Control-Allow-Headers"]
    assert all(name in allowed for name in ("authorization", "idempotency-key", "prefer"))
    assert "DELETE" in asked.headers["Access-Control-Allow-Methods"]
    answer = anonymous_client.get(ADDRESS, headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "location" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in ask_first(anonymous_client, origin="https://evil.example").headers
    for page in ("/", "/history/", "/account/login/"):
        assert "Access-Control-Allow-Origin" not in anonymous_client.get(page, headers={"Origin": ORIGIN}).headers


def test_refusals_can_be_read_too(anonymous_client: Client, settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]
    for address in (f"{ADDRESS}/nothing", "/api/v1/nothing", "/api/v1/exports"):
        answer = anonymous_client.get(address, headers={"Origin": ORIGIN})
        assert (answer.status_code in (403, 404), answer.headers["Access-Control-Allow-Origin"]) == (True, ORIGIN)


@pytest.mark.parametrize("everybody", [False, True])
def test_cookies_are_never_asked_for(everybody: bool, reviewer: Actor, settings) -> None:
    settings.CORS_ALLOW_ALL_ORIGINS = everybody
    settings.CORS_ALLOWED_ORIGINS = [] if everybody else [ORIGIN]
    browser = client_of(reviewer)
    for response in (ask_first(browser), browser.get(ADDRESS, headers={"Origin": ORIGIN})):
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert response.headers["Access-Control-Allow-Origin"] == ("*" if everybody else ORIGIN)
