"""Requests that go wrong before a view sees them, given to the application as the web server gives them."""

import encodings.aliases
import json

import pytest

from recognizer.models import Submission
from tests.image_samples import SEVEN
from tests.support.application import send

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media", "application_in_transaction")]

BODY = json.dumps({"strokes": SEVEN}).encode()
CHARSETS = sorted({*encodings.aliases.aliases.values(), "utf-8", "undefined", "idna", "nonsense", "", "\x00"})


def ask(content_type: str, *, body: bytes = BODY, path: str = "/api/v1/submissions", **more: str) -> tuple[int, dict]:
    answer = send(path, body, content_type, **more)
    assert answer.headers["Content-Type"] in ("application/json", "application/problem+json"), answer.content
    return answer.status, answer.json()


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
