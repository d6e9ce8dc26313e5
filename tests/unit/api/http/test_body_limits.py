"""Limits on the size of bodies, URLs and headers, and on the shape of JSON and forms."""

import json
import random

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from recognizer.api.http.json_shape import MAX_CONTAINERS, MAX_KEY_LENGTH, MAX_UNCHECKED_BYTES, MAX_VALUES, check_shape
from recognizer.middleware import MAX_ADDRESS_BYTES, MAX_HEADER_BYTES
from recognizer.models import Label, Source, Submission
from recognizer.services.submissions import service
from tests.image_samples import SEVEN, digit, png
from tests.support.people import client_of

SUBMISSIONS = "/api/v1/submissions"
BLANKS = b" " * MAX_UNCHECKED_BYTES


# --- The shape of JSON -----------------------------------------------------------------------------------------------


def code_of(body: bytes) -> str | None:
    """Return the code with which a body is rejected for its shape, or None."""
    try:
        check_shape(body)
    except Exception as error:  # noqa: BLE001 - the comparison shows any other error
        return error.default_code
    return None


SHAPES = {
    "objects": (b"[" + b"{}," * MAX_CONTAINERS + b"{}]", "too_many_values"),
    "lists": (b"[" * (MAX_CONTAINERS + 1) + BLANKS, "too_many_values"),
    "fields": (b"{" + b",".join(b'"%d":1' % n for n in range(MAX_CONTAINERS)) + b"}", "too_many_values"),
    "numbers": (b"[" + b"1," * MAX_VALUES + b"1]", "too_many_values"),
    "texts": (b"[" + b'"",' * MAX_VALUES + b'""]', "too_many_values"),
    "texts without commas": (b'""' * (MAX_VALUES + 1), "too_many_values"),
    "as many numbers as are allowed": (b"[" + b"1," * (MAX_VALUES - 2) + b"1]", None),
    "commas in a text": (b'["' + b"," * MAX_VALUES + b'"]', None),
    "brackets in a text": (b'["' + b"[" * MAX_VALUES + b'"]', None),
    "escaped quotation marks in a text": (b'["' + b'\\"[' * MAX_VALUES + b'"]', None),
    "escaped backslashes before a quotation mark": (b'["\\\\",' + b"{}," * MAX_CONTAINERS + b"{}]", "too_many_values"),
    "a long number": (b"[0." + b"1" * 100 + b"]" + BLANKS, "parse_error"),
    "a long number in a text": (b'["' + b"1" * 100 + b'"]' + BLANKS, None),
    "a long name": (b'{"' + b"a" * (MAX_KEY_LENGTH + 1) + b'" : 1}' + BLANKS, "parse_error"),
    "a long text": (b'{"a":"' + b"a" * (MAX_KEY_LENGTH + 1) + b'"}' + BLANKS, None),
    "an emoji": (json.dumps("\U0001f600", ensure_ascii=False).encode() + BLANKS, "parse_error"),
    "an escaped emoji": (json.dumps("\U0001f600").encode() + BLANKS, "parse_error"),
    "an escaped plus sign, as in base64 by .NET": (b'"\\u002B"' + BLANKS, None),
    "an escaped slash, as in base64 by PHP": (b'"\\/"' + BLANKS, None),
    "a small body of any shape": (b"[" * MAX_UNCHECKED_BYTES, None),
}


@pytest.mark.parametrize("name", SHAPES)
def test_json_shape_is_limited(name):
    body, code = SHAPES[name]
    assert code_of(body) == code


def test_json_shape_ignores_the_content_of_strings():
    chance = random.Random(0)
    for _ in range(50):
        texts = ["".join(chance.choices('"\\,[]{}:0 a/\n', k=chance.randrange(80))) for _ in range(20)]
        body = json.dumps([{text: text * 500} for text in texts]).encode()
        assert len(body) > MAX_UNCHECKED_BYTES
        assert code_of(body) is None


# --- Size ------------------------------------------------------------------------------------------------------------

BODY_LIMITS = {
    "/api/v1/review/next": 4096,
    "/api/v1/review/decisions": 4096,
    "/api/v1/review/decisions/several": 64 * 1024,
    "/api/v1/review/grid": 4096,
    "/api/v1/tokens": 4096,
    "/api/v1/training-runs": 4096,
    "/api/v1/models/1/promote": 16 * 1024,
}


@pytest.mark.sqlite_only
@pytest.mark.django_db
@pytest.mark.parametrize("path", BODY_LIMITS)
def test_body_over_the_limit_of_an_endpoint_is_rejected(path, anonymous_client):
    response = anonymous_client.post(path, b" " * (BODY_LIMITS[path] + 1), content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert f"{BODY_LIMITS[path]:,} bytes" in response.json()["detail"]
    assert anonymous_client.post(path, b" " * BODY_LIMITS[path], content_type="application/json").status_code in (
        400,
        403,
    )


@pytest.mark.sqlite_only
@pytest.mark.django_db
def test_label_body_is_limited_to_one_kilobyte(visitor, media):
    row = service.create_from_strokes(actor=visitor, strokes=SEVEN, source=Source.CANVAS)
    client, path = client_of(visitor), f"{SUBMISSIONS}/{row.public_id}/labels"
    response = client.post(path, b'{"value": "7"' + b" " * 1100 + b"}", content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert not Label.objects.exists()
    assert client.post(path, b'{"value": "7"}', content_type="application/json").status_code == 201


@pytest.mark.sqlite_only
@pytest.mark.django_db
def test_form_field_size_is_limited(anonymous_client, media):
    image = SimpleUploadedFile("digit.png", png(digit(60)))
    response = anonymous_client.post(SUBMISSIONS, {"image": image, "crop": "1" * 5000})
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert not Submission.objects.exists()


@pytest.mark.sqlite_only
@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/history/", "/api/v1/submissions", "/nothing/"])
def test_url_length_is_limited(path, client):
    response = client.get(path, {"cursor": "x" * MAX_ADDRESS_BYTES})
    assert response.status_code == 414
    assert b"too long" in response.content


@pytest.mark.sqlite_only
@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/history/", "/api/v1/submissions", "/nothing/"])
def test_header_size_is_limited(path, client):
    response = client.get(path, headers={f"X-{n}": "x" * 1024 for n in range(MAX_HEADER_BYTES // 1024 + 1)})
    assert response.status_code == 431
    assert client.get("/", headers={f"X-{n}": "x" * 1024 for n in range(16)}).status_code == 200
