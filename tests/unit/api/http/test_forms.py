"""Multipart forms as clients and browsers write them, and malformed ones."""

import pytest
from django.http import HttpResponse
from django.test import Client

from recognizer.models import Submission
from tests.image_samples import digit, png

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

ADDRESS = "/api/v1/submissions"
BOUNDARY = "----a+boundary'of(ours)"
PNG = png(digit())


def part(disposition: str, content: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"Content-Disposition: form-data; {disposition}", *headers])
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"


IMAGE = part('name="image"; filename="digit.png"', PNG, "Content-Type: image/png")
END = f"--{BOUNDARY}--\r\n".encode()


def post(client: Client, body: bytes, boundary: str = f'; boundary="{BOUNDARY}"') -> HttpResponse:
    return client.generic("POST", ADDRESS, body, content_type="multipart/form-data" + boundary)


@pytest.mark.parametrize(
    "body",
    [
        IMAGE + END,
        b"a preamble\r\n" + IMAGE + END + b"an epilogue",
        part('filename="a; \\"b\\" \xe9\u20ac.png"; name=image', PNG) + END,
        part("name=image; filename*=UTF-8''%e2%82%ac.png; filename=x", PNG, "content-type: text/plain") + END,
        part('name="may_train"', b"true") + IMAGE + END,
        part('name="other"; filename=""', b"", "Content-Type: application/octet-stream") + IMAGE + END,
    ],
    ids=["plain", "preamble", "quotes", "encoded name", "with an option", "beside an empty file input"],
)
def test_form_with_image_is_parsed(anonymous_client, body):
    response = post(anonymous_client, body)
    assert response.status_code == 202, response.content
    assert Submission.objects.get().picture_width == 28


def test_form_with_several_images_is_a_batch(anonymous_client):
    assert post(anonymous_client, IMAGE + IMAGE + END).status_code == 207
    assert Submission.objects.count() == 2


def test_form_options_are_parsed_as_text(anonymous_client):
    body = part('name="may_train"', b"\xff") + IMAGE + END
    assert "may_train" in post(anonymous_client, body).json()["errors"]
    assert post(anonymous_client, part('name="may_train"', b"false") + IMAGE + END).status_code == 202
    assert not Submission.objects.get().may_train


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (IMAGE, f'; boundary="{BOUNDARY}"'),
        (IMAGE[:-40], f'; boundary="{BOUNDARY}"'),
        (b"", f'; boundary="{BOUNDARY}"'),
        (IMAGE + END, ""),
        (IMAGE + END, "; boundary="),
        (IMAGE + END, "; boundary=another"),
        ((IMAGE + END).replace(b"\r\n", b"\n"), f'; boundary="{BOUNDARY}"'),
        (IMAGE.replace(b"form-data", b"attachment") + END, f'; boundary="{BOUNDARY}"'),
        (part('name="image"; filename="x"', PNG, "X: " + "y" * 9000) + END, f'; boundary="{BOUNDARY}"'),
        (part('name="image"; filename="x"', PNG, *(f"X-{n}: y" for n in range(99))) + END, f'; boundary="{BOUNDARY}"'),
        (part('filename="digit.png"', PNG) + END, f'; boundary="{BOUNDARY}"'),
        (part('name="image"; filename=""', b"") + END, f'; boundary="{BOUNDARY}"'),
        (b"".join(part(f'name="n{n}"', b"") for n in range(201)) + IMAGE + END, f'; boundary="{BOUNDARY}"'),
    ],
    ids=[
        *("no end", "cut off", "empty", "no boundary", "empty boundary", "another boundary", "bare line feeds"),
        *("no form", "long header", "many headers", "no name", "no file selected", "many fields"),
    ],
)
def test_malformed_form_is_rejected(anonymous_client, body, boundary):
    response = post(anonymous_client, body, boundary)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"
    assert not Submission.objects.exists()
