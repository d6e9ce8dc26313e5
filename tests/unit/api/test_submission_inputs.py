"""POST /api/v1/submissions: what can be sent, how, and what is refused. Nothing answers here, so all is 202."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from ml.serving.images import ImageHeader
from recognizer.api.views.submissions import SubmissionsView
from recognizer.models import Source, Submission
from recognizer.services.images import storage
from recognizer.services.lib.errors import BusyError
from tests.image_samples import SEVEN, SVG, animation, digit, encoded, huge_png, photo, png

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

ADDRESS = "/api/v1/submissions"


def upload(client: Client, data: bytes, name: str = "digit.png", **fields: str) -> HttpResponse:
    file = io.BytesIO(data)
    file.name = name
    return client.post(ADDRESS, {"image": file, **fields})


def send(client: Client, body: object, **headers: str) -> HttpResponse:
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post(ADDRESS, text, content_type="application/json", headers=headers)


def test_a_file_becomes_a_submission(anonymous_client):
    response = upload(anonymous_client, png(digit()))
    assert response.status_code == 202
    body = response.json()
    submission = Submission.objects.get()
    assert body["id"] == submission.public_id
    assert (body["state"], body["source"], body["prediction"]) == ("pending", "api", None)
    assert submission.may_train
    assert submission.visitor == ""


def test_a_data_url_becomes_a_submission(anonymous_client):
    url = "data:image/png;base64," + base64.b64encode(png(digit())).decode()
    assert send(anonymous_client, {"image": url}).status_code == 202
    assert Submission.objects.get().picture_width == 28


def test_strokes_become_a_submission(anonymous_client):
    assert send(anonymous_client, {"strokes": [[[30, 100, 60], [30, 30, 115]]], "frame": 140}).status_code == 202
    assert Submission.objects.get().strokes == [[[60.0, 200.0, 120.0], [60.0, 60.0, 230.0]]]


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [*((f"image/{kind.lower()}", kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")), ("image/x", "PNG")],
)
def test_a_picture_as_it_is_becomes_a_submission(content_type, kind, anonymous_client):
    response = anonymous_client.post(ADDRESS, encoded(digit(60), kind), content_type=content_type)
    assert response.status_code == 202, response.json()
    assert Submission.objects.get().picture_width == 60


def test_an_array_of_28_rows_becomes_the_submission_that_the_same_picture_becomes(anonymous_client):
    pixels = np.asarray(digit()).tolist()
    assert send(anonymous_client, {"pixels": pixels}).status_code == 202
    upload(anonymous_client, png(digit()))
    first, second = Submission.objects.order_by("id")
    assert (first.digest, bytes(first.pixels)) == (second.digest, bytes(second.pixels))
    dark = [[255 - value for value in row] for row in pixels]
    send(anonymous_client, {"pixels": dark})
    assert bytes(Submission.objects.latest("id").pixels) == bytes(first.pixels)


def test_a_drawing_is_kept_with_its_pen_and_read_without_it(anonymous_client):
    for pen in ({}, {"pen": 6}, {"pen": [10, 15]}):
        strokes = [[[30, 100, 60], [30, 30, 115]], [[40, 80], [70, 70]]]
        assert send(anonymous_client, {"strokes": strokes, "frame": 140, **pen}).status_code == 202
    usual, thin, mixed = Submission.objects.order_by("id")
    assert [one.pen for one in (usual, thin, mixed)] == [None, [12.0, 12.0], [20.0, 30.0]]
    assert len({one.picture for one in (usual, thin, mixed)}) == 3
    assert len({one.digest for one in (usual, thin, mixed)}) == 1
    assert len({bytes(one.pixels) for one in (usual, thin, mixed)}) == 1
    ink = [np.asarray(storage.open_stored(one)).mean() for one in (thin, usual, mixed)]
    assert ink == sorted(ink)


def test_whoever_opts_out_of_training_is_heard_in_every_kind_of_body(anonymous_client):
    send(anonymous_client, {"strokes": SEVEN, "may_train": False})
    upload(anonymous_client, png(digit()), may_train="false")
    anonymous_client.post(f"{ADDRESS}?may_train=false", png(digit()), content_type="image/png")
    send(anonymous_client, [{"strokes": SEVEN, "may_train": False}])
    anonymous_client.post(ADDRESS, {"image": [io.BytesIO(png(digit())) for _ in range(2)], "may_train": "false"})
    assert list(Submission.objects.values_list("may_train", flat=True)) == [False] * 6


def test_a_crop_box_of_a_thousand_brackets_is_refused(anonymous_client, media):
    assert_refused(upload(anonymous_client, png(digit(60)), crop="[" * 4_000), 400, "crop", "invalid", media)


def test_a_crop_box_comes_as_a_list_or_as_text_in_a_form(anonymous_client):
    url = "data:image/png;base64," + base64.b64encode(png(digit(60))).decode()
    send(anonymous_client, {"image": url, "crop": [10, 5, 50, 55]})
    upload(anonymous_client, png(digit(60)), crop="[10, 5, 50, 55]")
    anonymous_client.post(f"{ADDRESS}?crop=[10,5,50,55]", png(digit(60)), content_type="image/png")
    assert list(Submission.objects.values_list("crop", flat=True)) == [[10, 5, 50, 55]] * 3


def test_a_program_reads_its_submission_back_by_the_location_that_it_got(anonymous_client):
    response = send(anonymous_client, {"strokes": SEVEN})
    location = response.headers["Location"]
    assert response.headers["Retry-After"] == "1"
    assert anonymous_client.get(location).json()["id"] == response.json()["id"]
    assert anonymous_client.get(location.partition("?")[0]).status_code == 404
    for name in ("image", "pixels", "url"):
        assert anonymous_client.get(response.json()[name]).status_code == 200
    assert response.json()["read_key"] in location


def test_a_browser_that_comes_for_the_first_time_becomes_a_visitor(client_of, visitor):
    browser = Client(HTTP_HOST="localhost")
    browser.cookies[settings.CSRF_COOKIE_NAME] = "x" * 32
    response = send(browser, {"strokes": SEVEN})
    assert settings.VISITOR_COOKIE in response.cookies
    body = browser.get(ADDRESS).json()
    assert [one["id"] for one in body["results"]] == [response.json()["id"]]
    assert body["results"][0]["mine"]


def test_a_program_gets_no_cookie(anonymous_client):
    assert not send(anonymous_client, {"strokes": SEVEN}).cookies


def test_the_source_says_whether_a_page_or_a_program_sent_it(anonymous_client, owner_client):
    send(anonymous_client, {"strokes": SEVEN})
    send(owner_client, {"strokes": SEVEN})
    upload(owner_client, png(digit()))
    assert list(Submission.objects.order_by("id").values_list("source", flat=True)) == [
        Source.API,
        Source.CANVAS,
        Source.UPLOAD,
    ]


def test_where_accounts_are_required_nobody_else_may_send(anonymous_client, owner_client, reviewer_client, settings):
    settings.ANONYMOUS_SUBMISSIONS = False
    for client in (anonymous_client, owner_client):
        for address in (ADDRESS, "/api/v1/preview"):
            response = client.post(address, {"strokes": SEVEN}, content_type="application/json")
            assert response.status_code == 403
        assert send(client, [{"strokes": SEVEN}]).status_code == 403
        assert "sign in" in response.json()["detail"]
    assert send(reviewer_client, {"strokes": SEVEN}).status_code == 202


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
def test_a_bad_file_is_refused(what, anonymous_client, media):
    data, status, code = BAD_FILES[what]
    assert_refused(upload(anonymous_client, data), status, "image", code, media)


def test_a_picture_of_900_million_pixels_is_refused(anonymous_client, media):
    assert_refused(upload(anonymous_client, huge_png()), 413, "image", "too_many_pixels", media)


def test_of_an_animated_gif_the_first_frame_is_taken(anonymous_client):
    assert upload(anonymous_client, animation(), "digit.gif").status_code == 202


BAD_BODIES = {
    "no JSON": ("{", 400, None, "parse_error"),
    "NaN": ('{"strokes": [[[NaN, 1], [1, 2]]]}', 400, None, "parse_error"),
    "brackets without end": ("[" * 20_000, 400, None, "parse_error"),
    "more brackets without end": ("[" * 200_000, 413, None, "too_many_values"),
    "an empty list": ([], 400, None, "invalid"),
    "a hundred and one": ([{"strokes": SEVEN}] * 101, 413, None, "too_many"),
    "a number": (7, 400, None, "invalid"),
    "nothing": ({}, 400, None, "invalid"),
    "both": ({"strokes": SEVEN, "image": "data:image/png;base64,"}, 400, None, "invalid"),
    "strokes and pixels": ({"strokes": SEVEN, "pixels": []}, 400, None, "invalid"),
    "27 rows of pixels": ({"pixels": [[0] * 28] * 27}, 400, "pixels", "bad_shape"),
    "rows of 27 pixels": ({"pixels": [[0] * 27] * 28}, 400, "pixels", "bad_shape"),
    "pixels that are text": ({"pixels": "0" * 784}, 400, "pixels", "bad_shape"),
    "pixels between 0 and 1": ({"pixels": [[0.5] * 28] * 28}, 400, "pixels", "not_a_number"),
    "true pixels": ({"pixels": [[True] * 28] * 28}, 400, "pixels", "not_a_number"),
    "pixels of 256": ({"pixels": [[256] * 28] * 28}, 400, "pixels", "out_of_range"),
    "blank pixels": ({"pixels": [[0] * 28] * 28}, 422, "pixels", "blank"),
    "a pen of nothing": ({"strokes": SEVEN, "pen": 0}, 400, "pen", "out_of_range"),
    "a pen of a name": ({"strokes": SEVEN, "pen": "thin"}, 400, "pen", "not_a_number"),
    "two pens for one stroke": ({"strokes": SEVEN, "pen": [12, 20]}, 400, "pen", "bad_shape"),
    "a pen for pixels": ({"pixels": [[0] * 28] * 28, "pen": 20}, 400, "pen", "invalid"),
    "a misspelt name": ({"strokes": SEVEN, "mayTrain": False}, 400, "mayTrain", "invalid"),
    "half a surrogate pair": ('{"\\ud800": 1}', 400, None, "invalid"),
    "an empty canvas": ({"strokes": []}, 422, "strokes", "blank"),
    "strokes that are no list": ({"strokes": "7"}, 400, "strokes", "bad_shape"),
    "text for numbers": ({"strokes": [[["a"], ["b"]]]}, 400, "strokes", "not_a_number"),
    "too many points": ({"strokes": [[[1] * 11_000, [1] * 11_000]]}, 413, "strokes", "too_many"),
    "a million points": ({"strokes": [[[1] * 1_000_000, [1] * 1_000_000]]}, 413, None, "too_many_values"),
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
def test_a_bad_body_is_refused(what, anonymous_client, media):
    body, status, field, code = BAD_BODIES[what]
    assert_refused(send(anonymous_client, body), status, field, code, media)


def test_a_form_without_a_file_is_refused(anonymous_client, media):
    assert_refused(anonymous_client.post(ADDRESS, {"image": "text"}), 400, "image", "invalid", media)
    assert_refused(anonymous_client.post(ADDRESS, {"crop": "[1,2,3,4]"}), 400, "image", "invalid", media)


def test_a_body_over_the_limit_is_refused_before_it_is_read(anonymous_client, media, monkeypatch):
    monkeypatch.setattr(SubmissionsView, "max_body_bytes", 1000)
    assert_refused(send(anonymous_client, {"strokes": [[[1] * 1000, [1] * 1000]]}), 413, None, "body_too_large", media)
    assert_refused(upload(anonymous_client, bytes(2000)), 413, None, "body_too_large", media)


def test_a_body_of_an_unknown_kind_is_refused_and_told_which_ones_there_are(anonymous_client, media):
    response = anonymous_client.post(ADDRESS, "7", content_type="text/plain")
    assert_refused(response, 415, None, "unsupported_media_type", media)
    assert "application/json or multipart/form-data or image/*" in response.json()["detail"]


@pytest.mark.parametrize("charset", ["latin-1", "utf-16"])
def test_text_that_is_not_utf_8_is_refused(charset, anonymous_client, media):
    response = anonymous_client.post(ADDRESS, b"{}", content_type=f"application/json; charset={charset}")
    assert_refused(response, 415, None, "unsupported_charset", media)


def test_what_stands_in_the_address_beside_a_body_that_says_it_itself_is_refused(anonymous_client, media):
    response = anonymous_client.post(f"{ADDRESS}?may_train=false", {"strokes": SEVEN}, content_type="application/json")
    assert_refused(response, 400, "may_train", "invalid", media)
    response = anonymous_client.post(f"{ADDRESS}?mayTrain=false", png(digit()), content_type="image/png")
    assert_refused(response, 400, "mayTrain", "invalid", media)


def test_a_form_of_a_hundred_and_one_pictures_is_refused(anonymous_client, media):
    files = [io.BytesIO(png(digit())) for _ in range(101)]
    assert_refused(anonymous_client.post(ADDRESS, {"image": files}), 413, None, "too_many", media)


def test_several_pictures_do_not_share_a_crop_box(anonymous_client, media):
    files = [io.BytesIO(png(digit())) for _ in range(2)]
    assert_refused(anonymous_client.post(ADDRESS, {"image": files, "crop": "[1,2,9,9]"}), 400, "crop", "invalid", media)


# --- Several at once -----------------------------------------------------------------------------------------------


def test_of_a_list_each_gets_its_own_outcome_in_order(anonymous_client, media):
    url = "data:image/png;base64," + base64.b64encode(png(digit())).decode()
    body = [
        {"strokes": SEVEN},
        {"strokes": []},
        {"image": url},
        {"surname": "Smith"},
        7,
        {"image": "data:image/png;base64,AAAA"},
    ]
    response = send(anonymous_client, body)
    assert response.status_code == 207
    items = response.json()
    assert [one["status"] for one in items] == [202, 422, 202, 400, 400, 415]
    assert [one["problem"]["code"] for one in items if "problem" in one] == [
        "blank",
        "invalid",
        "invalid",
        "not_an_image",
    ]
    stored = [one["submission"] for one in items if "submission" in one]
    assert [one["id"] for one in stored] == list(Submission.objects.order_by("id").values_list("public_id", flat=True))
    for one in stored:
        assert anonymous_client.get(one["url"]).json()["id"] == one["id"]
    assert len([path for path in media.rglob("*") if path.is_file()]) == 2


def test_a_form_may_hold_several_pictures(owner_client):
    files = [io.BytesIO(png(digit(seed=0))), io.BytesIO(b"text"), io.BytesIO(png(digit(seed=3)))]
    response = owner_client.post(ADDRESS, {"image": files})
    assert response.status_code == 207
    assert [one["status"] for one in response.json()] == [202, 415, 202]
    assert [one["id"] for one in owner_client.get(f"{ADDRESS}?ordering=created").json()["results"]] == [
        one["submission"]["id"] for one in response.json() if "submission" in one
    ]


def test_a_hundred_at_once_take_as_many_transactions_as_one(anonymous_client, django_assert_max_num_queries):
    bodies = [{"pixels": np.asarray(digit(seed=seed)).tolist()} for seed in range(100)]
    # SQLite takes 999 parameters at a time, so the rows come in a few INSERTs.
    with django_assert_max_num_queries(10):
        response = send(anonymous_client, bodies)
    assert [one["status"] for one in response.json()] == [202] * 100
    assert Submission.objects.count() == 100


def test_large_pictures_share_what_one_request_may_have_decoded(anonymous_client, settings):
    settings.MAX_UPLOAD_PIXELS = 10_000
    url = "data:image/png;base64," + base64.b64encode(png(digit(60))).decode()
    items = send(anonymous_client, [{"image": url}] * 4).json()
    assert [one["status"] for one in items] == [202, 202, 413, 413]
    assert items[2]["problem"]["code"] == "too_many_pixels"


def test_a_batch_that_comes_while_too_many_large_pictures_are_read_stores_nothing(anonymous_client, media, monkeypatch):
    def fail(_opened: ImageHeader, *, caller: str) -> None:
        raise BusyError(storage.BUSY)

    url = "data:image/png;base64," + base64.b64encode(png(digit())).decode()
    monkeypatch.setattr(storage, "decode", fail)
    response = send(anonymous_client, [{"strokes": SEVEN}, {"image": url}])
    assert_refused(response, 503, None, "busy", media)
    assert response.headers["Retry-After"] == "2"


@pytest.mark.parametrize(("key", "most"), [({}, 1), ({"Idempotency-Key": "k"}, 5)])
def test_a_submission_takes_few_statements(key, most, anonymous_client):
    with CaptureQueriesContext(connection) as queries:
        assert send(anonymous_client, {"strokes": SEVEN}, Prefer="respond-async", **key).status_code == 202
    statements = [one["sql"] for one in queries if one["sql"].startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))]
    assert len(statements) <= most, statements


@pytest.mark.parametrize("several", [False, True])
def test_a_refusal_is_small_however_much_was_wrong(several, anonymous_client):
    fields = {f"{number:x}" * 20: 1 for number in range(5_000)}
    response = send(anonymous_client, [fields] * 2 if several else fields)
    assert response.status_code == (207 if several else 400)
    assert len(response.content) < 3_000
