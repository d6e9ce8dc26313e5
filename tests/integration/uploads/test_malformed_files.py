"""Every hostile or odd file of the zoo, and mutations of good ones, through the page and the API of a running site.

None gets a 5xx, two seconds, or the web server over 300 MB; of none are the bytes served back.

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
from tests.support.malformed_files import ANIMALS, BAD, GOOD, SECRET, Animal, animation, one, saved

MOST_MEGABYTES = 300
# With 20 large ones at the same moment, each of which has a body, a small picture and a thread.
MOST_MEGABYTES_AT_ONCE = 400
# Of processor time: a busy machine makes any request slow, and says nothing of the file.
MOST_SECONDS = 2.0
TAKEN = (200, 201, 202)


@dataclass
class Keeper:
    """Somebody who brings files to a running site and watches its web process."""

    site: Site
    web: Part
    api: httpx.Client
    page: httpx.Client
    slowest: float = 0.0
    statuses: Counter = field(default_factory=Counter)

    def bring(self, animal: Animal, data: bytes, *, to_page: bool) -> httpx.Response:
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
        assert seconds < MOST_SECONDS
        assert self.peak_megabytes() < MOST_MEGABYTES
        return response

    def peak_megabytes(self) -> float:
        """The most that any process of the web server ever held."""
        return max(_high_water(process.pid) for process in self._processes()) / 1024

    def _processes(self) -> list[psutil.Process]:
        server = psutil.Process(self.web.pid)
        return [server, *server.children(recursive=True)]

    def _cpu_seconds(self) -> float:
        times = [process.cpu_times() for process in self._processes()]
        return sum(one.user + one.system for one in times)


def _high_water(pid: int) -> int:
    """Kilobytes: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html"""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


@pytest.fixture(scope="module")
def keeper(template_database: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Keeper]:
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak memory of another process is only told by Linux")
    # Limits on how often are another test's: here one address sends thousands. Memory is as `make run` has it.
    limits = dict.fromkeys(("SUBMISSIONS_PER_MINUTE", "SUBMISSIONS_PER_DAY", "MEGABYTES_PER_DAY"), "0")
    memory = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "2000000"}
    site = Site(template_database, **limits, **memory)
    try:
        site.collect_static_files()
        site.start_redis()
        web = site.start_web()
        with site.client() as api, site.client(follow_redirects=True) as page:
            page.get("/upload/")
            keeper = Keeper(site, web, api, page)
            yield keeper
            print(f"\n{keeper.statuses.total()} files, by status {dict(keeper.statuses)}")
            print(f"slowest: {keeper.slowest:.2f} s of processor time; peak: {keeper.peak_megabytes():.0f} MB")
    finally:
        site.stop()


@pytest.mark.parametrize("name", ANIMALS)
def test_no_animal_hurts(keeper: Keeper, name: str) -> None:
    animal = ANIMALS[name]
    data = animal.make()
    response = keeper.bring(animal, data, to_page=False)
    if animal.fate != BAD and response.status_code in TAKEN:
        check_what_is_served(keeper, response, data)
    expected = {GOOD: lambda status: status in TAKEN, BAD: lambda status: 400 <= status < 500}
    assert expected.get(animal.fate, lambda _: True)(response.status_code), response.text
    if response.status_code >= 400:
        problem = response.json()
        assert problem["detail"]
        assert problem["code"]
    by_page = keeper.bring(animal, data, to_page=True)
    assert (by_page.status_code in TAKEN) == (response.status_code in TAKEN)
    assert SECRET not in by_page.content
    assert b"<img src=x" not in by_page.content


def check_what_is_served(keeper: Keeper, response: httpx.Response, sent: bytes) -> None:
    """A picture of our own making, which a browser takes for nothing else."""
    picture = keeper.api.get(f"/api/v1/submissions/{response.json()['id']}/image", params={"key": key_of(response)})
    assert picture.status_code == 200
    assert picture.headers["Content-Type"] in ("image/png", "image/jpeg")
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in picture.headers["Content-Security-Policy"]
    assert picture.content != sent
    assert SECRET not in picture.content
    assert b"Exif" not in picture.content
    assert picture.content.rstrip().endswith((b"IEND\xaeB`\x82", b"\xff\xd9"))


def key_of(response: httpx.Response) -> str:
    return response.headers["Location"].rpartition("key=")[2]


SEEDS = (
    lambda: saved(one(), "PNG"),
    lambda: saved(one(mode="P"), "PNG", transparency=0),
    lambda: saved(one(90, 90, "RGB"), "JPEG"),
    lambda: saved(one(90, 90, "RGB"), "JPEG", progressive=True),
    lambda: saved(one(90, 90, "RGB"), "WEBP"),
    lambda: saved(one(90, 90, "RGBA"), "WEBP", lossless=True),
    lambda: saved(one(mode="P"), "GIF"),
    lambda: animation("GIF", 2),
    lambda: saved(one(), "BMP"),
    lambda: saved(one(), "TIFF", compression="tiff_lzw"),
    lambda: saved(one(mode="RGB"), "TIFF", compression="jpeg"),
    lambda: saved(one(mode="1"), "TIFF", compression="group4"),
)


def mutated(data: bytes, chance: np.random.Generator) -> bytes:
    """The same with a few bytes changed, taken out, doubled, moved, or cut off; most often near its beginning."""
    changed = bytearray(data)
    for _ in range(chance.integers(1, 6)):
        if len(changed) < 8:
            break
        where = int(min(len(changed) - 1, chance.exponential(len(changed) / 6)))
        length = int(chance.integers(1, 9))
        match chance.integers(6):
            case 0:
                changed[where] = int(chance.integers(256))
            case 1:
                changed[where : where + length] = bytes([int(chance.choice([0, 255, 127, 128]))]) * length
            case 2:
                del changed[where : where + length]
            case 3:
                changed[where:where] = changed[where : where + 8 * length]
            case 4:
                changed[where] ^= 1 << int(chance.integers(8))
            case 5:
                del changed[max(8, where + len(changed) // 2) :]
    return bytes(changed)


def fuzz(keeper: Keeper, count: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    seeds = [make() for make in SEEDS]
    for number in range(count):
        animal = Animal("either", lambda: b"")
        data = mutated(seeds[number % len(seeds)], chance)
        response = keeper.bring(animal, data, to_page=number % 10 == 0)
        assert response.status_code in (*TAKEN, 400, 413, 415, 422), response.text


def test_no_mutation_hurts(keeper: Keeper) -> None:
    fuzz(keeper, 200, seed=1)


@pytest.mark.acceptance
def test_none_of_5000_mutations_hurts(keeper: Keeper) -> None:
    fuzz(keeper, 5_000, seed=2)


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
def test_no_page_reads_more_than_it_needs(keeper: Keeper, address: str, megabytes: int, status: int) -> None:
    token = keeper.page.cookies.get(settings.CSRF_COOKIE_NAME) or ""
    files = [("images", (f"{number}.png", bytes(9_500_000), "image/png")) for number in range(megabytes // 10)]
    files += [("images", ("rest.png", bytes(megabytes * 1_000_000 - len(files) * 9_500_000), "image/png"))]
    answer = keeper.page.post(address, files=files, data={"csrfmiddlewaretoken": token})
    assert answer.status_code == status
    assert keeper.peak_megabytes() < MOST_MEGABYTES


def test_many_large_ones_at_once_share_the_memory(keeper: Keeper) -> None:
    data = ANIMALS["PNG of 13 million transparencies"].make()
    files = {"image": ("picture.png", data, "image/png")}
    with ThreadPoolExecutor(20) as pool:
        sent = [pool.submit(keeper.api.post, "/api/v1/submissions", files=files) for _ in range(20)]
        statuses = Counter(one.result().status_code for one in sent)
    assert set(statuses) <= {202, 503}
    assert statuses[202] >= 1
    assert keeper.peak_megabytes() < MOST_MEGABYTES_AT_ONCE
