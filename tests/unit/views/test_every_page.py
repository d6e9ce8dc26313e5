"""Tests of all pages: security policy, error pages, navigation and number formats."""

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path

from digitsite import urls as real
from recognizer.services.identity.actors import Actor
from recognizer.templatetags.formatting import counted_percent, megabytes, percent
from tests.factories import make_prediction, make_submission

INLINE = re.compile(r'<style|<script(?![^>]*(?:\bsrc=|type="application/json"))|\son[a-z]+="|\sstyle="|javascript:')
TEMPLATES = Path(__file__).parents[3] / "templates"


def _raising(error: Exception):
    def view(request: HttpRequest) -> HttpResponse:
        raise error

    return view


urlpatterns = [
    *real.urlpatterns,
    path("test/denied", _raising(PermissionDenied())),
    path("test/suspicious", _raising(SuspiciousOperation())),
    path("test/too-large", _raising(RequestDataTooBig())),
    path("test/broken", _raising(RuntimeError("broken"))),
]
handler400, handler403, handler404, handler500 = real.handler400, real.handler403, real.handler404, real.handler500


@pytest.mark.django_db
def test_pages_have_nothing_that_the_security_policy_blocks(owner_client: Client, visitor: Actor) -> None:
    submission = make_submission(visitor)
    make_prediction(submission)
    for address in ("/", "/upload/", "/history/", submission.get_absolute_url(), "/account/login/", "/nothing"):
        response = owner_client.get(address)
        assert "default-src 'self'" in response["Content-Security-Policy"]
        assert "unsafe" not in response["Content-Security-Policy"]
        assert not INLINE.search(response.content.decode()), address
        assert not re.search(r'(?:src|href)="(?:https?:)?//', response.content.decode()), address


def test_no_template_has_an_inline_script_or_style() -> None:
    for template in TEMPLATES.rglob("*.html"):
        assert not INLINE.search(template.read_text()), template


@pytest.mark.django_db
def test_own_files_of_the_draw_page_are_small(client: Client) -> None:
    text = client.get("/").content.decode()
    names = re.findall(r'(?:src|href)="/static/([^"]+)"', text)
    modules = {Path(finders.find(name)) for name in names}
    imported = ("account", "answer", "api", "board", "consent", "notice")
    modules |= {Path(finders.find(f"recognizer/js/{name}.js")) for name in imported}
    assert sum(file.stat().st_size for file in modules) + len(text.encode()) < 100_000


@pytest.mark.django_db
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/nothing", 404, "There is nothing here"),
        ("/test/denied", 403, "You may not see this"),
        ("/test/suspicious", 400, "makes no sense"),
        ("/test/too-large", 413, "too large"),
    ],
)
def test_error_pages_say_what_to_do(client: Client, address: str, status: int, words: str) -> None:
    response = client.get(address)
    assert response.status_code == status
    text = response.content.decode()
    assert words in text
    assert 'href="/">Draw a digit' in text


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_forbidden_page_offers_visitors_to_sign_in_and_return(client: Client, reviewer_client: Client) -> None:
    assert 'href="/account/login/?next=/test/denied%3Fpage%3D2">Sign in' in _text(client.get("/test/denied?page=2"))
    assert 'href="/account/login/?next=/">Sign in' in _text(client.post("/test/denied"))
    assert ">Sign in</a>" not in _text(reviewer_client.get("/test/denied"))


def _text(response: HttpResponse) -> str:
    assert response.status_code == 403
    return response.content.decode()


@pytest.mark.django_db
def test_sign_in_page_shows_the_name_of_the_site(client: Client) -> None:
    assert '<span class="brand-name">Digits</span>' in client.get("/account/login/").content.decode()


def test_counted_percent_shows_0_and_100() -> None:
    assert [counted_percent(share) for share in (1, 0, 0.9999, None)] == [
        "100\u00a0%",
        "0\u00a0%",
        ">\u00a099.9\u00a0%",
        "",
    ]


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_server_error_page_makes_no_queries(reviewer_client: Client) -> None:
    reviewer_client.raise_request_exception = False
    with CaptureQueriesContext(connection) as queries:
        response = reviewer_client.get("/test/broken")
    assert response.status_code == 500
    assert "Something broke on our side" in response.content.decode()
    # Who asks, for the rate limit, before the view that broke; nothing for the page.
    assert len(queries) == 2


@pytest.mark.django_db
def test_form_without_csrf_token_gets_an_error_page() -> None:
    response = Client(enforce_csrf_checks=True).post("/upload/", {})
    assert response.status_code == 403
    assert "This form has expired" in response.content.decode()


@pytest.mark.django_db
def test_navigation_marks_the_current_page(client: Client) -> None:
    for address, name in (("/", "Draw"), ("/upload/", "Upload"), ("/history/", "History")):
        here = re.findall(r'aria-current="page">(\w+)<', client.get(address).content.decode())
        assert here == [name]


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.99403, "99.4\u00a0%"),
        (0.5, "50.0\u00a0%"),
        (0.9996, ">\u00a099.9\u00a0%"),
        (1.0, ">\u00a099.9\u00a0%"),
        (0.0001, "<\u00a00.1\u00a0%"),
        (0.0, "<\u00a00.1\u00a0%"),
        (None, ""),
    ],
)
def test_percent_never_shows_0_or_100(share: float | None, words: str) -> None:
    assert percent(share) == words


def test_sizes_are_in_megabytes() -> None:
    assert megabytes(10 * 1024 * 1024) == "10\u00a0MB"
    assert megabytes(1536 * 1024) == "1.5\u00a0MB"
