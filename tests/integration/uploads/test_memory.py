"""Memory of the web server after many bodies: accepted and rejected ones are freed completely.

python -m pytest tests/integration/uploads/test_memory.py -s                 # prints the figures
python -m pytest tests/integration/uploads/test_memory.py -m acceptance -s   # 1,000 bodies, four at a time
"""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from digitsite.testing.site import Site
from tests.image_samples import SEVEN
from tests.support.application import form
from tests.support.malformed_files import MEGABYTE, digit_one, png_of_texts, saved, tiff_with

MAX_GROWTH_MEGABYTES = 20
SUBMISSIONS, PREVIEW = "/api/v1/submissions", "/api/v1/preview"
JSON = "application/json"
# As set by `make run`.
MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "2000000"}


@dataclass(frozen=True)
class Exchange:
    """A request body and the expected status of its response."""

    status: int
    body: bytes
    content_type: str = JSON
    path: str = SUBMISSIONS


def form_exchange(status: int, *parts: tuple[str, str | None, bytes], path: str = SUBMISSIONS) -> Exchange:
    return Exchange(status, *form(*parts), path=path)


def noisy_photo() -> bytes:
    """Return a JPEG file of nine megabytes: a dark 1 on bright noise."""
    pixels = np.random.default_rng(0).integers(190, 255, (2_600, 2_600, 3), np.uint8)
    pixels[400:2200, 1200:1400] = 20
    return saved(Image.fromarray(pixels), "JPEG", quality=95)


def exchanges() -> list[Exchange]:
    """Return bodies that leaked memory in the past, or that take much memory while they are read."""
    drawing = json.dumps({"strokes": SEVEN}).encode()
    objects = b"[" + b"{}," * (14 * MEGABYTE // 3 - 10) + b"{}]"
    return [
        Exchange(413, objects),
        Exchange(413, objects, path=PREVIEW),
        Exchange(207, b"[" + b"{}," * 99 + b"{}]"),
        Exchange(413, b"[" * 200_000),
        Exchange(400, b"[" * 20_000),
        Exchange(400, b'{"' + b"a" * (13 * MEGABYTE) + b'": 1}'),
        Exchange(400, json.dumps({"image": "\U0001f600" + "A" * (13 * MEGABYTE)}, ensure_ascii=False).encode()),
        Exchange(400, b'{"image": "data:image/png;base64,' + b"A" * (13 * MEGABYTE) + b'!"}'),
        Exchange(413, b'{"value": "7"' + b" " * 2_000_000 + b"}", path=f"{SUBMISSIONS}/AAAAAAAAAAAAAAAA/labels"),
        Exchange(202, drawing),
        Exchange(422, b'{"strokes": []}'),
        form_exchange(400, *((f"field{n}", None, b"x") for n in range(300))),
        form_exchange(413, ("image", "a.png", saved(digit_one(), "PNG")), ("crop", None, b"1" * (13 * MEGABYTE))),
        form_exchange(207, *(("image", f"{n}.png", saved(digit_one(), "PNG")) for n in range(10))),
        form_exchange(415, ("image", "a.png", b"junk" * 2_400_000)),
        form_exchange(413, ("username", None, b"x" * MEGABYTE), path="/account/login/"),
        form_exchange(202, ("image", "photo.jpg", noisy_photo())),
        Exchange(202, tiff_with(65000, 1, 1, 9 * MEGABYTE), "image/tiff"),
        Exchange(415, tiff_with(273, 5, 8, 1_100_000), "image/tiff"),
        Exchange(202, png_of_texts(), "image/png"),
    ]


@pytest.fixture
def site(template_database: Path) -> Iterator[Site]:
    if not Path("/proc/self/status").exists():
        pytest.skip("glibc returns memory in this way only on Linux")
    limits = dict.fromkeys(("SUBMISSIONS_PER_MINUTE", "SUBMISSIONS_PER_DAY", "MEGABYTES_PER_DAY"), "0")
    site = Site(template_database, **limits, **MALLOC, PREDICTION_WAIT_SECONDS="0")
    try:
        site.collect_static_files()
        site.start_redis()
        yield site
    finally:
        site.stop()


def check_growth(site: Site, count: int, *, concurrency: int) -> None:
    web = site.start_web()
    with site.client() as client:
        for _ in range(200):
            assert client.post(SUBMISSIONS, json={"strokes": SEVEN}).status_code == 202
        before = web.rss()
        statuses = send_all(client, list(islice(cycle(exchanges()), count)), concurrency=concurrency)
        growth = (web.rss() - before) / MEGABYTE
    print(f"\n{before / MEGABYTE:.0f} MB after 200 drawings, {growth:+.1f} MB after {count} bodies: {dict(statuses)}")
    assert growth < MAX_GROWTH_MEGABYTES


def send_all(client: httpx.Client, requests: list[Exchange], *, concurrency: int) -> Counter:
    def send(exchange: Exchange) -> int:
        response = client.post(exchange.path, content=exchange.body, headers={"Content-Type": exchange.content_type})
        allowed = {exchange.status} if concurrency == 1 else {exchange.status, 503}
        assert response.status_code in allowed, (exchange.path, exchange.body[:50], response.text)
        return response.status_code

    with ThreadPoolExecutor(concurrency) as pool:
        return Counter(pool.map(send, requests))


@pytest.mark.acceptance
def test_memory_does_not_grow_with_bodies(site):
    check_growth(site, 100, concurrency=1)


@pytest.mark.acceptance
def test_memory_does_not_grow_with_a_thousand_concurrent_bodies(site):
    check_growth(site, 1_000, concurrency=4)
