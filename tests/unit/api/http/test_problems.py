"""Every error under /api/ is a problem document."""

import json
from unittest import mock

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from recognizer.services.lib.errors import BusyError
from recognizer.services.submissions import writer
from recognizer.views.submissions import draw
from tests.image_samples import SEVEN

pytestmark = pytest.mark.django_db

ADDRESS = "/api/v1/submissions"


def assert_problem(response, status: int) -> dict:
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert {"type", "title", "detail", "code"} <= set(document)
    return document


@pytest.mark.parametrize("address", ["/api/", "/api/v1/nothing", "/api/v2/submissions", "/api/v1/submissions/a.b"])
def test_unknown_path_is_a_problem(address, anonymous_client):
    assert_problem(anonymous_client.get(address), 404)
    assert_problem(anonymous_client.post(address), 404)


def test_unsupported_method_is_a_problem_with_allow_header(anonymous_client):
    response = anonymous_client.put(ADDRESS)
    assert_problem(response, 405)
    assert "POST" in response.headers["Allow"]
    assert_problem(anonymous_client.options(ADDRESS), 405)


def test_unknown_host_is_a_problem(anonymous_client):
    assert_problem(anonymous_client.get(ADDRESS, headers={"Host": "evil.example"}), 400)


def test_server_error_is_a_problem_without_details(anonymous_client, monkeypatch, caplog):
    def fail(_request: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(writer, "store", fail)
    anonymous_client.raise_request_exception = False
    response = anonymous_client.post(ADDRESS, json.dumps({"strokes": SEVEN}), content_type="application/json")
    assert_problem(response, 500)
    assert b"secret" not in response.content
    assert "the secret of the house" in caplog.text


def test_busy_site_or_unreachable_database_is_503_with_retry_after(anonymous_client, monkeypatch, caplog):
    errors = [BusyError("Come back later."), OperationalError("password of the house refused")]
    for error in errors:
        monkeypatch.setattr(writer, "store", mock.Mock(side_effect=error))
        response = anonymous_client.post(ADDRESS, json.dumps({"strokes": SEVEN}), content_type="application/json")
        assert "password" not in assert_problem(response, 503)["detail"]
    assert "the database failed: password of the house refused" in caplog.text
    # Pages return 503 too, without a database query.
    anonymous_client.raise_request_exception = False
    monkeypatch.setattr(draw, "ensure_visitor", mock.Mock(side_effect=errors[1]))
    page = anonymous_client.get("/")
    assert (page.status_code, page["Retry-After"]) == (503, "5")


def test_error_outside_of_the_api_is_an_html_page(anonymous_client):
    response = anonymous_client.get("/nothing")
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


# --- Cross-site requests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["visitor", "reviewer"])
def test_browser_needs_a_csrf_token(caller, request, client_of, media):
    browser = client_of(request.getfixturevalue(caller), csrf=True)
    body = {"data": json.dumps({"strokes": SEVEN}), "content_type": "application/json"}
    assert "CSRF" in assert_problem(browser.post(ADDRESS, **body), 403)["detail"]
    assert browser.get(ADDRESS).json()["results"] == []
    browser.get(reverse("api-docs"))
    token = browser.cookies[settings.CSRF_COOKIE_NAME].value
    assert browser.post(ADDRESS, **body, headers={"X-CSRFToken": token}).status_code == 202
    (submission,) = browser.get(ADDRESS).json()["results"]
    assert_problem(browser.delete(f"{ADDRESS}/{submission['id']}"), 403)
    assert browser.delete(f"{ADDRESS}/{submission['id']}", headers={"X-CSRFToken": token}).status_code == 204


def test_client_without_cookies_needs_no_csrf_token(media):
    program = Client(enforce_csrf_checks=True, HTTP_HOST="localhost")
    response = program.post(ADDRESS, json.dumps({"strokes": SEVEN}), content_type="application/json")
    assert response.status_code == 202
