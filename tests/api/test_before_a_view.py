"""Requests that go wrong before a view sees them, given to the application as the web server gives them."""

import encodings.aliases
import io
import json
from collections.abc import Iterator

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from recognizer.models import Submission
from tests.pictures import SEVEN

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

BODY = json.dumps({"strokes": SEVEN}).encode()
CHARSETS = sorted({*encodings.aliases.aliases.values(), "utf-8", "undefined", "idna", "nonsense", "", "\x00"})


@pytest.fixture(autouse=True)
def _in_one_transaction() -> Iterator[None]:
    """A request closes old connections; here it would close the test's own, and Django's client does the same."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def ask(content_type: str, *, body: bytes = BODY, path: str = "/api/v1/submissions", **more: str) -> tuple[int, dict]:
    from digitsite.wsgi import application

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
    } | more
    answered = []
    response = application(environ, lambda status, headers: answered.append((status, dict(headers))))
    content = b"".join(response)
    response.close()
    [(status, headers)] = answered
    assert headers["Content-Type"] in ("application/json", "application/problem+json"), content
    return int(status[:3]), json.loads(content)


def test_whatever_charset_a_body_claims_it_is_read_as_utf_8_or_refused():
    answers = {charset: ask(f"application/json; charset={charset}") for charset in CHARSETS}
    taken = {charset for charset, (status, _) in answers.items() if status == 202}
    assert taken == {"ascii", "utf-8"}
    for charset in set(CHARSETS) - taken:
        status, problem = answers[charset]
        assert (status, problem["code"]) == (415, "unsupported_charset"), charset
    assert Submission.objects.count() == len(taken)


@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json; charset=hex", "application/json; x*=foo''61", "application/json; charset*=hex''61"),
        *("; ;", 'a/b/c;;;=;"', "multipart/form-data; boundary*=hex''61", "\xff\xfe;x", "", "image/png;q="),
    ],
)
def test_a_content_type_made_to_hurt_is_refused_like_any_other(content_type):
    status, problem = ask(content_type)
    assert status in (400, 415)
    assert problem["status"] == status
    assert ask(content_type, path="/api/v1/nothing")[0] == 404


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        *(("APPLICATION/JSON", 202), ("application/json; charset=UTF-8; x=y", 202), (" application/json", 202)),
        *(("*/*", 415), ("*/json", 415), ("application/*", 415), ("application/problem+json", 415), ("image", 415)),
        *(("IMAGE/anything; x=y", 415), ("image/*", 415)),  # read as a picture, which this is not
        (f"application/json; x={'y' * 300}", 415),
    ],
)
def test_the_kind_of_a_body_is_what_it_says_without_wild_cards(content_type, status):
    answered, document = ask(content_type)
    assert answered == status
    if "image/" in content_type.lower():
        assert document["code"] == "not_an_image"
