"""CORS: allowed origins may use the API with a token or anonymously, never with cookies."""

import pytest
from django.http import HttpResponse
from django.test import Client

from recognizer.services.identity.actors import Actor
from tests.support.people import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only]

ORIGIN = "https://app.example.com"
ADDRESS = "/api/v1/submissions"


def send_preflight(client: Client, *, origin: str = ORIGIN, address: str = ADDRESS) -> HttpResponse:
    """Send the preflight request of a browser."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, prefer",
    }
    return client.options(address, headers=headers)


def test_cors_is_off_by_default(anonymous_client: Client) -> None:
    assert "Access-Control-Allow-Origin" not in send_preflight(anonymous_client).headers
    assert "Access-Control-Allow-Origin" not in anonymous_client.get(ADDRESS, headers={"Origin": ORIGIN}).headers


def test_allowed_origin_may_use_the_api_but_not_pages(anonymous_client: Client, settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]
    preflight = send_preflight(anonymous_client)
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    allowed_headers = preflight.headers["Access-Control-Allow-Headers"]
    assert all(name in allowed_headers for name in ("authorization", "idempotency-key", "prefer"))
    assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]
    answer = anonymous_client.get(ADDRESS, headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "location" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in send_preflight(anonymous_client, origin="https://evil.example").headers
    for page in ("/", "/history/", "/account/login/"):
        assert "Access-Control-Allow-Origin" not in anonymous_client.get(page, headers={"Origin": ORIGIN}).headers


def test_allowed_origin_may_read_error_responses(anonymous_client: Client, settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]
    for address in (f"{ADDRESS}/nothing", "/api/v1/nothing", "/api/v1/exports"):
        answer = anonymous_client.get(address, headers={"Origin": ORIGIN})
        assert (answer.status_code in (403, 404), answer.headers["Access-Control-Allow-Origin"]) == (True, ORIGIN)


@pytest.mark.parametrize("is_open_to_all", [False, True])
def test_cors_never_allows_credentials(is_open_to_all: bool, reviewer: Actor, settings) -> None:
    settings.CORS_ALLOW_ALL_ORIGINS = is_open_to_all
    settings.CORS_ALLOWED_ORIGINS = [] if is_open_to_all else [ORIGIN]
    browser = client_of(reviewer)
    for response in (send_preflight(browser), browser.get(ADDRESS, headers={"Origin": ORIGIN})):
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert response.headers["Access-Control-Allow-Origin"] == ("*" if is_open_to_all else ORIGIN)
