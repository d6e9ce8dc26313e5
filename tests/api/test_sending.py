"""POST /api/v1/submissions: what can be sent, how, and what is refused. Nothing answers here, so all is 202."""

import base64
import io
import json
from pathlib import Path

import pytest
from django.http import HttpResponse
from django.test import Client

from recognizer.models import Source, Submission
from tests.pictures import SEVEN, SVG, animation, digit, encoded, huge_png, photo, png

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

ADDRESS = "/api/v1/submissions"


def upload(client: Client, data: bytes, name: str = "digit.png", **fields: str) -> HttpResponse:
    file = io.BytesIO(data)
    file.name = name
    return client.post(ADDRESS, {"image": file, **fields})


def send(client: Client, body: object, **headers: str) -> HttpResponse:
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post(ADDRESS, text, content_type="application/json", headers=headers)


def test_a_file_becomes_a_submission(program):
    response = upload(program, png(digit()))
    assert response.status_code == 202
    body = response.json()
    submission = Submission.objects.get()
    assert body["id"] == submission.public_id
    assert (body["state"], body["source"], body["prediction"]) == ("pending", "api", None)
    assert submission.may_train
    assert submission.visitor == ""


def test_a_data_url_becomes_a_submission(program):
    url = "data:image/png;base64," + base64.b64encode(png(digit())).decode()
    assert send(program, {"image": url}).status_code == 202
    assert Submission.objects.get().picture_width == 28


def test_strokes_become_a_submission(program):
    assert send(program, {"strokes": [[[30, 100, 60], [30, 30, 115]]], "frame": 140}).status_code == 202
    assert Submission.objects.get().strokes == [[[60.0, 200.0, 120.0], [60.0, 60.0, 230.0]]]


def test_whoever_opts_out_of_training_is_heard_in_json_and_in_a_form(program):
    send(program, {"strokes": SEVEN, "may_train": False})
    upload(program, png(digit()), may_train="false")
    assert list(Submission.objects.values_list("may_train", flat=True)) == [False, False]


def test_a_crop_box_of_a_thousand_brackets_is_refused(program, media):
    assert_refused(upload(program, png(digit(60)), crop="[" * 50_000), 400, "crop", "invalid", media)


def test_a_crop_box_comes_as_a_list_or_as_text_in_a_form(program):
    url = "data:image/png;base64," + base64.b64encode(png(digit(60))).decode()
    send(program, {"image": url, "crop": [10, 5, 50, 55]})
    upload(program, png(digit(60)), crop="[10, 5, 50, 55]")
    assert list(Submission.objects.values_list("crop", flat=True)) == [[10, 5, 50, 55]] * 2


def test_a_program_reads_its_submission_back_by_the_location_that_it_got(program):
    response = send(program, {"strokes": SEVEN})
    location = response.headers["Location"]
    assert response.headers["Retry-After"] == "1"
    assert program.get(location).json()["id"] == response.json()["id"]
    assert program.get(location.partition("?")[0]).status_code == 404
    for name in ("image", "pixels", "url"):
        assert program.get(response.json()[name]).status_code == 200
    assert response.json()["read_key"] in location


def test_a_browser_that_comes_for_the_first_time_becomes_a_visitor(client_of, visitor):
    browser = Client(HTTP_HOST="localhost")
    browser.cookies["csrftoken"] = "x" * 32
    response = send(browser, {"strokes": SEVEN})
    assert "visitor" in response.cookies
    body = browser.get(ADDRESS).json()
    assert [one["id"] for one in body["results"]] == [response.json()["id"]]
    assert body["results"][0]["mine"]


def test_a_program_gets_no_cookie(program):
    assert not send(program, {"strokes": SEVEN}).cookies


def test_the_source_says_whether_a_page_or_a_program_sent_it(program, owner):
    send(program, {"strokes": SEVEN})
    send(owner, {"strokes": SEVEN})
    upload(owner, png(digit()))
    assert list(Submission.objects.order_by("id").values_list("source", flat=True)) == [
        Source.API,
        Source.CANVAS,
        Source.UPLOAD,
    ]


def test_where_accounts_are_required_nobody_else_may_send(program, owner, reviewing, settings):
    settings.ANONYMOUS_SUBMISSIONS = False
    for client in (program, owner):
        response = send(client, {"strokes": SEVEN})
        assert response.status_code == 403
        assert "sign in" in response.json()["detail"]
    assert send(reviewing, {"strokes": SEVEN}).status_code == 202


# --- Bad input: a clear message, a right status, nothing stored ----------------------------------------------------


def assert_refused(response: HttpResponse, status: int, field: str | None, code: str | None, media: Path) -> None:
    problem = response.json()
    assert response.status_code == problem["status"] == status, problem
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["detail"]
    if field:
        assert field in problem["errors"]
    if code:
        assert problem["code"] == code
    assert not Submission.objects.exists()
    assert not [path for path in media.rglob("*") if path.is_file()]


BAD_FILES = {
    "an empty file": (b"", 400, "empty"),
    "text named .png": (b"I am not a picture at all", 415, "not_an_image"),
    "an SVG": (SVG, 415, "not_an_image"),
    "a truncated JPEG": (encoded(photo(400, 300), "JPEG")[:3000], 422, "truncated"),
    "11 MB": (png(digit()) + bytes(11 * 1024 * 1024), 413, "too_many_bytes"),
    "a blank picture": (png(digit().point(lambda _: 255)), 422, "blank"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_file_is_refused(what, program, media):
    data, status, code = BAD_FILES[what]
    assert_refused(upload(program, data), status, "image", code, media)


def test_a_picture_of_900_million_pixels_is_refused(program, media):
    assert_refused(upload(program, huge_png()), 413, "image", "too_many_pixels", media)


def test_of_an_animated_gif_the_first_frame_is_taken(program):
    assert upload(program, animation(), "digit.gif").status_code == 202


BAD_BODIES = {
    "no JSON": ("{", 400, None, "parse_error"),
    "NaN": ('{"strokes": [[[NaN, 1], [1, 2]]]}', 400, None, "parse_error"),
    "brackets without end": ("[" * 200_000, 400, None, "parse_error"),
    "a list": ([1, 2], 400, None, "invalid"),
    "nothing": ({}, 400, None, "invalid"),
    "both": ({"strokes": SEVEN, "image": "data:image/png;base64,"}, 400, None, "invalid"),
    "a misspelt name": ({"strokes": SEVEN, "mayTrain": False}, 400, "mayTrain", "invalid"),
    "half a surrogate pair": ('{"\\ud800": 1}', 400, None, "invalid"),
    "an empty canvas": ({"strokes": []}, 422, "strokes", "blank"),
    "strokes that are no list": ({"strokes": "7"}, 400, "strokes", "bad_shape"),
    "text for numbers": ({"strokes": [[["a"], ["b"]]]}, 400, "strokes", "not_a_number"),
    "a million points": ({"strokes": [[[1] * 1_000_000, [1] * 1_000_000]]}, 413, "strokes", "too_many"),
    "points on the moon": ({"strokes": [[[1e300], [1]]]}, 400, "strokes", "out_of_range"),
    "no frame": ({"strokes": SEVEN, "frame": 0}, 400, "frame", "invalid"),
    "an image that is no data URL": ({"image": "http://example.org/7.png"}, 400, "image", "invalid"),
    "a data URL of text": ({"image": "data:text/html;base64,AAAA"}, 400, "image", "invalid"),
    "a data URL that is not base64": ({"image": "data:image/png;base64,%%%"}, 400, "image", "invalid"),
    "an empty data URL": ({"image": "data:image/png;base64,"}, 400, "image", "empty"),
    "a crop box of three": ({"image": "data:image/png;base64,AAAA", "crop": [1, 2, 3]}, 400, "crop", "invalid"),
    "a crop box of strokes": ({"strokes": SEVEN, "crop": [1, 2, 3, 4]}, 400, "crop", "invalid"),
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_a_bad_body_is_refused(what, program, media):
    body, status, field, code = BAD_BODIES[what]
    assert_refused(send(program, body), status, field, code, media)


def test_a_form_without_a_file_is_refused(program, media):
    assert_refused(program.post(ADDRESS, {"image": "text"}), 400, "image", "invalid", media)
    assert_refused(program.post(ADDRESS, {"crop": "[1,2,3,4]"}), 400, "image", "invalid", media)


def test_a_body_over_the_limit_is_refused_before_it_is_read(program, media, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert_refused(send(program, {"strokes": [[[1] * 1000, [1] * 1000]]}), 413, None, "body_too_large", media)
    assert_refused(upload(program, bytes(2000)), 413, None, "body_too_large", media)


def test_a_body_of_an_unknown_kind_is_refused(program, media):
    response = program.post(ADDRESS, "7", content_type="text/plain")
    assert_refused(response, 415, None, "unsupported_media_type", media)
