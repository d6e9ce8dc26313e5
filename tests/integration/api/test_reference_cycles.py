"""Requests with large bodies leave no reference cycles that keep their body in memory.

digitsite/asgi.py freezes the objects that exist at the start and rarely runs the garbage collector, so a cycle would
keep a body for long. Other requests of the API have small bodies, and the framework's views form such cycles.
"""

import base64
import gc
import json
import types
from collections.abc import Callable, Iterator

import pytest
from django.db import models
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from PIL import Image
from rest_framework.request import Request
from rest_framework.serializers import Field
from rest_framework.views import APIView

from tests.image_samples import SEVEN
from tests.support.application import Answer, form, send
from tests.support.malformed_files import digit_one, saved

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sqlite_only,
    pytest.mark.usefixtures("media", "application_in_transaction"),
]

SUBMISSIONS = "/api/v1/submissions"
# Types that reference a body, or the frame of a function that does.
HOLDERS = (
    *(types.FrameType, types.TracebackType, BaseException, APIView, Request, HttpResponseBase, Field),
    *(models.Model, models.QuerySet, Image.Image),
)

Exchange = Callable[[], Answer]


def post(body: object, path: str = SUBMISSIONS, **more: str) -> Exchange:
    return lambda: send(path, body if isinstance(body, bytes) else json.dumps(body).encode(), **more)


def post_form(*parts: tuple[str, str | None, bytes], path: str = SUBMISSIONS) -> Exchange:
    body, content_type = form(*parts)
    return lambda: send(path, body, content_type)


def post_file(data: bytes) -> Exchange:
    return lambda: send(SUBMISSIONS, data, "image/png")


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


PNG = saved(digit_one(), "PNG")
# Expected status and request.
EXCHANGES = {
    "objects without a picture": (207, post([{}] * 90)),
    "too many pictures": (413, post([{}] * 900)),
    "far too many objects": (413, post(b"[" + b"{}," * 100_000 + b"{}]")),
    "an unknown field": (400, post({"nothing": "x" * 1000})),
    "broken JSON": (400, post(b'{"strokes": [[[')),
    "deep JSON": (400, post(b"[" * 20_000)),
    "strokes": (202, post({"strokes": SEVEN})),
    "nothing drawn": (422, post({"strokes": []})),
    "strokes of a wrong shape": (400, post({"strokes": [[1, 2]]})),
    "a drawing that takes long": (202, post({"strokes": [[[*range(270)] * 5, [*range(270)] * 5]]})),
    "grey values out of range": (400, post({"pixels": [[300] * 28] * 28})),
    "a blank matrix": (422, post({"pixels": [[1] * 28] * 28})),
    "right and wrong ones": (207, post([{"strokes": SEVEN}, {"strokes": []}, {}, {"image": data_url(b"junk")}])),
    "a crop box beside the picture": (400, post({"image": data_url(PNG), "crop": [0, 0, 1, 1]})),
    "a picture in a form": (202, post_form(("image", "a.png", PNG))),
    "several pictures in a form": (207, post_form(("image", "a.png", PNG), ("image", "b.png", b"junk"))),
    "a large file that is no picture": (415, post_form(("image", "a.png", b"hello" * 1_000_000))),
    "a damaged picture": (422, post_form(("image", "a.png", saved(digit_one(600, 600), "PNG")[:200]))),
    "too many fields": (400, post_form(*((f"f{n}", None, b"x") for n in range(300)))),
    "a long field": (413, post_form(("image", "a.png", PNG), ("crop", None, b"1" * 5000))),
    "a form that is none": (400, lambda: send(SUBMISSIONS, b"hello", form()[1])),
    **{
        f"a {kind}": (202, post_file(saved(digit_one(90, 90, "RGB"), kind)))
        for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
    },
    "a file that is no picture": (415, post_file(b"junk")),
    "a body of an unknown kind": (415, lambda: send(SUBMISSIONS, b"a=b", "text/plain")),
    "a preview of objects": (400, post([{}] * 90, "/api/v1/preview")),
    "a blank preview": (200, post({"strokes": []}, "/api/v1/preview")),
    "a preview without a worker": (503, post({"strokes": SEVEN}, "/api/v1/preview")),
    "a bad token": (401, post({"strokes": SEVEN}, HTTP_AUTHORIZATION="Bearer digits_x")),
    "the same once more": (202, post({"strokes": SEVEN}, HTTP_IDEMPOTENCY_KEY="a")),
    "the same key with another body": (422, post({"strokes": []}, HTTP_IDEMPOTENCY_KEY="a")),
    "a form of a page without its token": (403, post_form(("images", "a.png", PNG), path="/upload/")),
    "a sign-in without its token": (403, lambda: send("/account/login/", b"a=b", "application/x-www-form-urlencoded")),
}


@pytest.fixture
def collector() -> Iterator[None]:
    """Garbage collection only by explicit calls; collected objects are kept in `gc.garbage`."""
    gc.collect()
    gc.freeze()  # existing objects need not be traversed ninety times
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.unfreeze()
    gc.enable()


def uncollected_types(exchange: Exchange) -> list[str]:
    """Return the type names of objects that reference the body and that only the collector can free."""
    gc.collect()
    gc.garbage.clear()
    exchange()
    gc.collect()
    # The template context of a page references an emptied request.
    holders = [
        item for item in gc.garbage if isinstance(item, HOLDERS) or (isinstance(item, HttpRequest) and vars(item))
    ]
    return sorted({type(item).__name__ for item in holders})


@pytest.mark.usefixtures("collector")
def test_requests_leave_no_reference_cycle_with_their_body(settings):
    settings.PREDICTION_WAIT_SECONDS = 0
    statuses, remaining = {}, {}
    for name, (_, exchange) in EXCHANGES.items():
        statuses[name] = exchange().status  # warm up caches first
        remaining[name] = uncollected_types(exchange)
    assert statuses == {name: status for name, (status, _) in EXCHANGES.items()}
    assert not {name: kinds for name, kinds in remaining.items() if kinds}


@pytest.mark.usefixtures("collector")
def test_request_over_the_quota_leaves_no_reference_cycle(settings):
    settings.SUBMISSIONS_PER_DAY = (1, 1)
    exchange = post({"strokes": SEVEN}, REMOTE_ADDR="192.0.2.3")
    assert [exchange().status for _ in range(2)] == [202, 429]
    assert uncollected_types(exchange) == []
