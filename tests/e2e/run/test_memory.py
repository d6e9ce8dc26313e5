"""Memory of all processes after 20,000 predictions is the same as after 2,000."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from digitsite.testing.supervised import Supervised, a_three

Start = Callable[..., Supervised]

MB = 1_000_000
FIRST, ALL, PEOPLE = 2_000, 20_000, 8
PARTS = ("web", "predictions", "default", "redis")


def draw(site: Supervised, count: int, seed: int) -> None:
    chance = random.Random(seed)
    with site.client() as program:
        for _ in range(count):
            x, y = chance.uniform(-20, 20), chance.uniform(-20, 20)
            strokes = [[[value + x for value in a_three()[0]], [value + y for value in a_three()[1]]]]
            answer: httpx.Response = program.post("api/v1/submissions", json={"strokes": strokes})
            assert answer.status_code in (201, 202), answer.text


def draw_together(site: Supervised, count: int) -> None:
    with ThreadPoolExecutor(PEOPLE) as people:
        for done in [people.submit(draw, site, count // PEOPLE, count + number) for number in range(PEOPLE)]:
            done.result()


def resident(site: Supervised) -> dict[str, float]:
    """Return the resident memory of each process and its children, in megabytes."""
    sizes = {"supervisor": psutil.Process(site.process.pid).memory_info().rss / MB}
    for name in PARTS:
        part = site.part(name)
        sizes[name] = sum(process.memory_info().rss for process in [part, *part.children(recursive=True)]) / MB
    return sizes


@pytest.mark.acceptance
def test_memory_does_not_grow_with_the_number_of_predictions(start: Start) -> None:
    site = start(RETRAIN_SCHEDULE="off")
    site.wait_until_all_run()
    site.wait_until_the_start_is_over()
    draw_together(site, FIRST)
    before = resident(site)
    draw_together(site, ALL - FIRST)
    after = resident(site)
    for name, size in after.items():
        grown = f"{size / before[name] - 1:+.1%}"
        print(f"{name:12} {before[name]:6.1f} MB after {FIRST}, {size:6.1f} MB after {ALL}: {grown}")
    assert {name: size for name, size in after.items() if size > before[name] * 1.1} == {}
