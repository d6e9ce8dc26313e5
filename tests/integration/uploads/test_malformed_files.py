"""Uploads of malformed and unusual files, and of mutated valid ones, to the page and the API of a running site.

No upload causes a 5xx, takes two seconds or more than 300 MB, and no upload is served unchanged.

    python -m pytest tests/integration/uploads -s                 # prints the figures
    python -m pytest tests/integration/uploads -m acceptance -s   # 5,000 mutations
"""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from django.conf import settings
from pytest_django import DjangoDbBlocker

from digitsite.testing.site import Part, Site
from tests.support.malformed_files import BAD, FILES, GOOD, SECRET, MalformedFile, animation, digit_one, saved

MAX_MEGABYTES = 300
# With 20 concurrent large uploads, each with a body, a small image and a thread.
MAX_MEGABYTES_IN_PARALLEL = 400
# CPU time: wall time depends on the load of the machine.
MAX_CPU_SECONDS = 2.0
ACCEPTED_STATUSES = (200, 201, 202)


@dataclass
class Uploader:
    """Uploads files to a running site and measures its web process."""

    site: Site
    web: Part
    api: httpx.Client
    page: httpx.Client
    slowest: float = 0.0
    statuses: Counter = field(default_factory=Counter)

    def upload(self, animal: MalformedFile, data: bytes, *, to_page: bool) -> httpx.Response:
        before = self._cpu_seconds()
        files = {"images" if to_page else "image": (animal.name, data, animal.kind)}
        if to_page:
            token = self.page.cookies.get(settings.CSRF_COOKIE_NAME) or ""
            response = self.page.post("/upload/", files=files, data={"csrfmiddlewaretoken": token, "may_train": "on"})
        else:
            response = self.api.post("/api/v1/submissions", files=files, headers={"Prefer": "wait=0"})
        seconds = self._cpu_seconds() - before
        self.slowest = max(self.slowest, seconds)
        self.statuses[response.status_code] += 1
        assert response.status_code < 500, response.text
        assert seconds < MAX_CPU_SECONDS
        assert self.peak_megabytes() < MAX_MEGABYTES
        return response

    def peak_megabytes(self) -> float:
        """Return the peak resident memory of the largest process of the web server."""
        return max(_high_water(process.pid) for process in self._processes()) / 1024

    def _processes(self) -> list[psutil.Process]:
        server = psutil.Process(self.web.pid)
        return [server, *server.children(recursive=True)]

    def _cpu_seconds(self) -> float:
        times = [process.cpu_times() for process in self._processes()]
        return sum(cpu.user + cpu.system for cpu in times)


def _high_water(pid: int) -> int:
    """Return the peak resident memory in kilobytes: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html"""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


@pytest.fixture(scope="module")
def uploader(template_database: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Uploader]:
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak memory of another process is available on Linux only")
    # No rate limits, because one address sends thousands of files. Memory settings as in `make run`.
    limits = dict.fromkeys(("SUBMISSIONS_PER_MINUTE", "SUBMISSIONS_PER_DAY", "MEGABYTES_PER_DAY"), "0")
    memory = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "2000000"}
    site = Site(template_database, **limits, **memory)
    try:
        site.collect_static_files()
        site.start_redis()
        web = site.start_web()
        with site.client() as api, site.client(follow_redirects=True) as page:
            page.get("/upload/")
            uploader = Uploader(site, web, api, page)
            yield uploader
            print(f"\n{uploader.statuses.total()} files, by status {dict(uploader.statuses)}")
            print(f"slowest: {uploader.slowest:.2f} s of CPU time; peak: {uploader.peak_megabytes():.0f} MB")
    finally:
        site.stop()


@pytest.mark.parametrize("name", FILES)
def test_malformed_file_is_accepted_or_rejected_safely(uploader: Uploader, name: str) -> None:
    animal = FILES[name]
    data = animal.make()
    response = uploader.upload(animal, data, to_page=False)
    if animal.fate != BAD and response.status_code in ACCEPTED_STATUSES:
        check_served_image(uploader, response, data)
    expected = {GOOD: lambda status: status in ACCEPTED_STATUSES, BAD: lambda status: 400 <= status < 500}
    assert expected.get(animal.fate, lambda _: True)(response.status_code), response.text
    if response.status_code >= 400:
        problem = response.json()
        assert problem["detail"]
        assert problem["code"]
    by_page = uploader.upload(animal, data, to_page=True)
    assert (by_page.status_code in ACCEPTED_STATUSES) == (response.status_code in ACCEPTED_STATUSES)
    assert SECRET not in by_page.content
    assert b"<img src=x" not in by_page.content


def check_served_image(uploader: Uploader, response: httpx.Response, upload: bytes) -> None:
    """Check that the image is re-encoded, and that a browser will not interpret it as anything else."""
    image = uploader.api.get(f"/api/v1/submissions/{response.json()['id']}/image", params={"key": key_of(response)})
    assert image.status_code == 200
    assert image.headers["Content-Type"] in ("image/png", "image/jpeg")
    assert image.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in image.headers["Content-Security-Policy"]
    assert image.content != upload
    assert SECRET not in image.content
    assert b"Exif" not in image.content
    assert image.content.rstrip().endswith((b"IEND\xaeB`\x82", b"\xff\xd9"))


def key_of(response: httpx.Response) -> str:
    return response.headers["Location"].rpartition("key=")[2]


SEEDS = (
    lambda: saved(digit_one(), "PNG"),
    lambda: saved(digit_one(mode="P"), "PNG", transparency=0),
    lambda: saved(digit_one(90, 90, "RGB"), "JPEG"),
    lambda: saved(digit_one(90, 90, "RGB"), "JPEG", progressive=True),
    lambda: saved(digit_one(90, 90, "RGB"), "WEBP"),
    lambda: saved(digit_one(90, 90, "RGBA"), "WEBP", lossless=True),
    lambda: saved(digit_one(mode="P"), "GIF"),
    lambda: animation("GIF", 2),
    lambda: saved(digit_one(), "BMP"),
    lambda: saved(digit_one(), "TIFF", compression="tiff_lzw"),
    lambda: saved(digit_one(mode="RGB"), "TIFF", compression="jpeg"),
    lambda: saved(digit_one(mode="1"), "TIFF", compression="group4"),
)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy with a few bytes changed, deleted, duplicated or truncated; most often near the beginning."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        if len(changed) < 8:
            break
        offset = int(min(len(changed) - 1, rng.exponential(len(changed) / 6)))
        length = int(rng.integers(1, 9))
        match rng.integers(6):
            case 0:
                changed[offset] = int(rng.integers(256))
            case 1:
                changed[offset : offset + length] = bytes([int(rng.choice([0, 255, 127, 128]))]) * length
            case 2:
                del changed[offset : offset + length]
            case 3:
                changed[offset:offset] = changed[offset : offset + 8 * length]
            case 4:
                changed[offset] ^= 1 << int(rng.integers(8))
            case 5:
                del changed[max(8, offset + len(changed) // 2) :]
    return bytes(changed)


def fuzz(uploader: Uploader, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    seeds = [make() for make in SEEDS]
    for number in range(count):
        animal = MalformedFile("either", lambda: b"")
        data = mutate(seeds[number % len(seeds)], rng)
        response = uploader.upload(animal, data, to_page=number % 10 == 0)
        assert response.status_code in (*ACCEPTED_STATUSES, 400, 413, 415, 422), response.text


def test_mutated_files_are_accepted_or_rejected_safely(uploader: Uploader) -> None:
    fuzz(uploader, 200, seed=1)


@pytest.mark.acceptance
def test_5000_mutated_files_are_accepted_or_rejected_safely(uploader: Uploader) -> None:
    fuzz(uploader, 5_000, seed=2)


@pytest.mark.parametrize(
    ("address", "megabytes", "status"),
    [
        ("/account/login/", 1, 413),
        ("/account/login/", 60, 413),
        ("/", 60, 413),
        ("/upload/", 120, 413),
        ("/upload/", 90, 422),
        ("/api/v1/preview", 60, 413),
    ],
)
def test_pages_reject_bodies_above_their_limit(uploader: Uploader, address: str, megabytes: int, status: int) -> None:
    token = uploader.page.cookies.get(settings.CSRF_COOKIE_NAME) or ""
    files = [("images", (f"{number}.png", bytes(9_500_000), "image/png")) for number in range(megabytes // 10)]
    files += [("images", ("rest.png", bytes(megabytes * 1_000_000 - len(files) * 9_500_000), "image/png"))]
    response = uploader.page.post(address, files=files, data={"csrfmiddlewaretoken": token})
    assert response.status_code == status
    assert uploader.peak_megabytes() < MAX_MEGABYTES


def test_concurrent_large_uploads_share_the_decoding_memory(uploader: Uploader) -> None:
    data = FILES["PNG of 13 million transparencies"].make()
    files = {"image": ("picture.png", data, "image/png")}
    with ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(uploader.api.post, "/api/v1/submissions", files=files) for _ in range(20)]
        statuses = Counter(future.result().status_code for future in futures)
    assert set(statuses) <= {202, 503}
    assert statuses[202] >= 1
    assert uploader.peak_megabytes() < MAX_MEGABYTES_IN_PARALLEL
