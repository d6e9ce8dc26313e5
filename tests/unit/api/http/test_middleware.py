"""Malformed requests, sent to the ASGI application as the web server does."""

import encodings.aliases
import json

import pytest

from recognizer.models import Submission
from tests.image_samples import SEVEN
from tests.support.application import send

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media", "application_in_transaction")]

BODY = json.dumps({"strokes": SEVEN}).encode()
CHARSETS = sorted({*encodings.aliases.aliases.values(), "utf-8", "undefined", "idna", "nonsense", "", "\x00"})


def post(content_type: str, *, body: bytes = BODY, path: str = "/api/v1/submissions", **more: str) -> tuple[int, dict]:
    answer = send(path, body, content_type, **more)
    assert answer.headers["Content-Type"] in ("application/json", "application/problem+json"), answer.content
    return answer.status, answer.json()


def test_body_with_another_charset_than_utf_8_is_rejected():
    answers = {charset: post(f"application/json; charset={charset}") for charset in CHARSETS}
    accepted = {charset for charset, (status, _) in answers.items() if status == 202}
    assert accepted == {"ascii", "utf-8"}
    for charset in set(CHARSETS) - accepted:
        status, problem = answers[charset]
        assert (status, problem["code"]) == (415, "unsupported_charset"), charset
    assert Submission.objects.count() == len(accepted)


@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json; charset=hex", "application/json; x*=foo''61", "application/json; charset*=hex''61"),
        *("; ;", 'a/b/c;;;=;"', "multipart/form-data; boundary*=hex''61", "\xff\xfe;x", "", "image/png;q="),
    ],
)
def test_malformed_content_type_is_rejected(content_type):
    status, problem = post(content_type)
    assert status in (400, 415)
    assert problem["status"] == status
    assert post(content_type, path="/api/v1/nothing")[0] == 404


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        *(("APPLICATION/JSON", 202), ("application/json; charset=UTF-8; x=y", 202), (" application/json", 202)),
        *(("*/*", 415), ("*/json", 415), ("application/*", 415), ("application/problem+json", 415), ("image", 415)),
        *(("IMAGE/anything; x=y", 415), ("image/*", 415)),  # decoded as an image, which fails
        (f"application/json; x={'y' * 300}", 415),
    ],
)
def test_content_type_selects_the_parser_without_wildcards(content_type, status):
    answered, document = post(content_type)
    assert answered == status
    if "image/" in content_type.lower():
        assert document["code"] == "not_an_image"
