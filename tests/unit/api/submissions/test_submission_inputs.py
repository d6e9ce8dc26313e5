"""POST /api/v1/submissions: accepted and rejected bodies. There is no worker, so accepted ones are 202."""

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
from recognizer.api.views.create import SubmissionsView
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


def test_file_creates_a_submission(anonymous_client):
    response = upload(anonymous_client, png(digit()))
    assert response.status_code == 202
    body = response.json()
    submission = Submission.objects.get()
    assert body["id"] == submission.public_id
    assert (body["state"], body["source"], body["prediction"]) == ("pending", "api", None)
    assert submission.may_train
    assert submission.visitor == ""


def test_data_url_creates_a_submission(anonymous_client):
    url = "data:image/png;base64," + base64.b64encode(png(digit())).decode()
    assert send(anonymous_client, {"image": url}).status_code == 202
    assert Submission.objects.get().picture_width == 28


def test_strokes_create_a_submission(anonymous_client):
    assert send(anonymous_client, {"strokes": [[[30, 100, 60], [30, 30, 115]]], "frame": 140}).status_code == 202
    assert Submission.objects.get().strokes == [[[60.0, 200.0, 120.0], [60.0, 60.0, 230.0]]]


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [*((f"image/{kind.lower()}", kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")), ("image/x", "PNG")],
)
def test_image_body_creates_a_submission(content_type, kind, anonymous_client):
    response = anonymous_client.post(ADDRESS, encoded(digit(60), kind), content_type=content_type)
    assert response.status_code == 202, response.json()
    assert Submission.objects.get().picture_width == 60


def test_pixel_array_equals_the_same_image_file(anonymous_client):
    pixels = np.asarray(digit()).tolist()
    assert send(anonymous_client, {"pixels": pixels}).status_code == 202
    upload(anonymous_client, png(digit()))
    first, second = Submission.objects.order_by("id")
    assert (first.digest, bytes(first.pixels)) == (second.digest, bytes(second.pixels))
    dark = [[255 - value for value in row] for row in pixels]
    send(anonymous_client, {"pixels": dark})
    assert bytes(Submission.objects.latest("id").pixels) == bytes(first.pixels)


def test_pen_width_affects_the_stored_image_only(anonymous_client):
    for pen in ({}, {"pen": 6}, {"pen": [10, 15]}):
        strokes = [[[30, 100, 60], [30, 30, 115]], [[40, 80], [70, 70]]]
        assert send(anonymous_client, {"strokes": strokes, "frame": 140, **pen}).status_code == 202
    default, thin, mixed = Submission.objects.order_by("id")
    assert [item.pen for item in (default, thin, mixed)] == [None, [12.0, 12.0], [20.0, 30.0]]
    assert len({item.picture for item in (default, thin, mixed)}) == 3
    assert len({item.digest for item in (default, thin, mixed)}) == 1
    assert len({bytes(item.pixels) for item in (default, thin, mixed)}) == 1
    ink = [np.asarray(storage.open_stored(item)).mean() for item in (thin, default, mixed)]
    assert ink == sorted(ink)


def test_training_opt_out_works_in_every_kind_of_body(anonymous_client):
    send(anonymous_client, {"strokes": SEVEN, "may_train": False})
    upload(anonymous_client, png(digit()), may_train="false")
    anonymous_client.post(f"{ADDRESS}?may_train=false", png(digit()), content_type="image/png")
    send(anonymous_client, [{"strokes": SEVEN, "may_train": False}])
    anonymous_client.post(ADDRESS, {"image": [io.BytesIO(png(digit())) for _ in range(2)], "may_train": "false"})
    assert list(Submission.objects.values_list("may_train", flat=True)) == [False] * 6


def test_deeply_nested_crop_box_is_rejected(anonymous_client, media):
    assert_rejected(upload(anonymous_client, png(digit(60)), crop="[" * 4_000), 400, "crop", "invalid", media)


def test_crop_box_is_a_list_or_json_text_in_a_form(anonymous_client):
    url = "data:image/png;base64," + base64.b64encode(png(digit(60))).decode()
    send(anonymous_client, {"image": url, "crop": [10, 5, 50, 55]})
    upload(anonymous_client, png(digit(60)), crop="[10, 5, 50, 55]")
    anonymous_client.post(f"{ADDRESS}?crop=[10,5,50,55]", png(digit(60)), content_type="image/png")
    assert list(Submission.objects.values_list("crop", flat=True)) == [[10, 5, 50, 55]] * 3


def test_client_can_read_its_submission_at_location(anonymous_client):
    response = send(anonymous_client, {"strokes": SEVEN})
    location = response.headers["Location"]
    assert response.headers["Retry-After"] == "1"
    assert anonymous_client.get(location).json()["id"] == response.json()["id"]
    assert anonymous_client.get(location.partition("?")[0]).status_code == 404
    for name in ("image", "pixels", "url"):
        assert anonymous_client.get(response.json()[name]).status_code == 200
    assert response.json()["read_key"] in location


def test_new_browser_becomes_a_visitor(client_of, visitor):
    browser = Client(HTTP_HOST="localhost")
    browser.cookies[settings.CSRF_COOKIE_NAME] = "x" * 32
    response = send(browser, {"strokes": SEVEN})
    assert settings.VISITOR_COOKIE in response.cookies
    body = browser.get(ADDRESS).json()
    assert [item["id"] for item in body["results"]] == [response.json()["id"]]
    assert body["results"][0]["mine"]


def test_client_without_cookies_gets_no_cookie(anonymous_client):
    assert not send(anonymous_client, {"strokes": SEVEN}).cookies


def test_source_distinguishes_pages_and_programs(anonymous_client, owner_client):
    send(anonymous_client, {"strokes": SEVEN})
    send(owner_client, {"strokes": SEVEN})
    upload(owner_client, png(digit()))
    assert list(Submission.objects.order_by("id").values_list("source", flat=True)) == [
        Source.API,
        Source.CANVAS,
        Source.UPLOAD,
    ]


def test_anonymous_submission_is_rejected_if_accounts_are_required(
    anonymous_client, owner_client, reviewer_client, settings
):
    settings.ANONYMOUS_SUBMISSIONS = False
    for client in (anonymous_client, owner_client):
        for address in (ADDRESS, "/api/v1/preview"):
            response = client.post(address, {"strokes": SEVEN}, content_type="application/json")
            assert response.status_code == 403
        assert send(client, [{"strokes": SEVEN}]).status_code == 403
        assert "sign in" in response.json()["detail"]
    assert send(reviewer_client, {"strokes": SEVEN}).status_code == 202


# --- Invalid input: message and status, nothing is stored ----------------------------------------------------------


def assert_rejected(response: HttpResponse, status: int, field: str | None, code: str | None, media: Path) -> None:
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


@pytest.mark.parametrize("name", BAD_FILES)
def test_invalid_file_is_rejected(name, anonymous_client, media):
    data, status, code = BAD_FILES[name]
    assert_rejected(upload(anonymous_client, data), status, "image", code, media)


def test_image_of_900_million_pixels_is_rejected(anonymous_client, media):
    assert_rejected(upload(anonymous_client, huge_png()), 413, "image", "too_many_pixels", media)


def test_first_frame_of_an_animation_is_used(anonymous_client):
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


@pytest.mark.parametrize("name", BAD_BODIES)
def test_invalid_body_is_rejected(name, anonymous_client, media):
    body, status, field, code = BAD_BODIES[name]
    assert_rejected(send(anonymous_client, body), status, field, code, media)


def test_form_without_file_is_rejected(anonymous_client, media):
    assert_rejected(anonymous_client.post(ADDRESS, {"image": "text"}), 400, "image", "invalid", media)
    assert_rejected(anonymous_client.post(ADDRESS, {"crop": "[1,2,3,4]"}), 400, "image", "invalid", media)


def test_body_over_the_limit_is_rejected(anonymous_client, media, monkeypatch):
    monkeypatch.setattr(SubmissionsView, "max_body_bytes", 1000)
    assert_rejected(send(anonymous_client, {"strokes": [[[1] * 1000, [1] * 1000]]}), 413, None, "body_too_large", media)
    assert_rejected(upload(anonymous_client, bytes(2000)), 413, None, "body_too_large", media)


def test_unsupported_media_type_lists_the_supported_ones(anonymous_client, media):
    response = anonymous_client.post(ADDRESS, "7", content_type="text/plain")
    assert_rejected(response, 415, None, "unsupported_media_type", media)
    assert "application/json or multipart/form-data or image/*" in response.json()["detail"]


@pytest.mark.parametrize("charset", ["latin-1", "utf-16"])
def test_unsupported_charset_is_rejected(charset, anonymous_client, media):
    response = anonymous_client.post(ADDRESS, b"{}", content_type=f"application/json; charset={charset}")
    assert_rejected(response, 415, None, "unsupported_charset", media)


def test_query_parameters_are_rejected_unless_the_body_is_an_image(anonymous_client, media):
    response = anonymous_client.post(f"{ADDRESS}?may_train=false", {"strokes": SEVEN}, content_type="application/json")
    assert_rejected(response, 400, "may_train", "invalid", media)
    response = anonymous_client.post(f"{ADDRESS}?mayTrain=false", png(digit()), content_type="image/png")
    assert_rejected(response, 400, "mayTrain", "invalid", media)


def test_form_with_101_images_is_rejected(anonymous_client, media):
    files = [io.BytesIO(png(digit())) for _ in range(101)]
    assert_rejected(anonymous_client.post(ADDRESS, {"image": files}), 413, None, "too_many", media)


def test_batch_with_crop_box_is_rejected(anonymous_client, media):
    files = [io.BytesIO(png(digit())) for _ in range(2)]
    assert_rejected(
        anonymous_client.post(ADDRESS, {"image": files, "crop": "[1,2,9,9]"}), 400, "crop", "invalid", media
    )


# --- Batches -------------------------------------------------------------------------------------------------------


def test_batch_returns_a_result_for_each_item_in_order(anonymous_client, media):
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
    assert [item["status"] for item in items] == [202, 422, 202, 400, 400, 415]
    assert [item["problem"]["code"] for item in items if "problem" in item] == [
        "blank",
        "invalid",
        "invalid",
        "not_an_image",
    ]
    stored = [item["submission"] for item in items if "submission" in item]
    assert [item["id"] for item in stored] == list(
        Submission.objects.order_by("id").values_list("public_id", flat=True)
    )
    for item in stored:
        assert anonymous_client.get(item["url"]).json()["id"] == item["id"]
    assert len([path for path in media.rglob("*") if path.is_file()]) == 2


def test_form_with_several_images_returns_a_result_for_each(owner_client):
    files = [io.BytesIO(png(digit(seed=0))), io.BytesIO(b"text"), io.BytesIO(png(digit(seed=3)))]
    response = owner_client.post(ADDRESS, {"image": files})
    assert response.status_code == 207
    assert [item["status"] for item in response.json()] == [202, 415, 202]
    assert [item["id"] for item in owner_client.get(f"{ADDRESS}?ordering=created").json()["results"]] == [
        item["submission"]["id"] for item in response.json() if "submission" in item
    ]


def test_batch_of_100_takes_few_queries(anonymous_client, django_assert_max_num_queries):
    bodies = [{"pixels": np.asarray(digit(seed=seed)).tolist()} for seed in range(100)]
    # SQLite accepts 999 parameters in a statement, so a few INSERTs are needed.
    with django_assert_max_num_queries(10):
        response = send(anonymous_client, bodies)
    assert [item["status"] for item in response.json()] == [202] * 100
    assert Submission.objects.count() == 100


def test_batch_shares_the_pixel_limit_of_a_request(anonymous_client, settings):
    settings.MAX_UPLOAD_PIXELS = 10_000
    url = "data:image/png;base64," + base64.b64encode(png(digit(60))).decode()
    items = send(anonymous_client, [{"image": url}] * 4).json()
    assert [item["status"] for item in items] == [202, 202, 413, 413]
    assert items[2]["problem"]["code"] == "too_many_pixels"


def test_batch_stores_nothing_while_decoding_is_busy(anonymous_client, media, monkeypatch):
    def fail(_opened: ImageHeader, *, caller: str) -> None:
        raise BusyError(storage.BUSY)

    url = "data:image/png;base64," + base64.b64encode(png(digit())).decode()
    monkeypatch.setattr(storage, "decode", fail)
    response = send(anonymous_client, [{"strokes": SEVEN}, {"image": url}])
    assert_rejected(response, 503, None, "busy", media)
    assert response.headers["Retry-After"] == "2"


@pytest.mark.parametrize(("key", "max_count"), [({}, 1), ({"Idempotency-Key": "k"}, 5)])
def test_submission_takes_few_statements(key, max_count, anonymous_client):
    with CaptureQueriesContext(connection) as queries:
        assert send(anonymous_client, {"strokes": SEVEN}, Prefer="respond-async", **key).status_code == 202
    statements = [item["sql"] for item in queries if item["sql"].startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))]
    assert len(statements) <= max_count, statements


@pytest.mark.parametrize("is_batch", [False, True])
def test_error_response_is_small_for_many_errors(is_batch, anonymous_client):
    fields = {f"{number:x}" * 20: 1 for number in range(5_000)}
    response = send(anonymous_client, [fields] * 2 if is_batch else fields)
    assert response.status_code == (207 if is_batch else 400)
    assert len(response.content) < 3_000
