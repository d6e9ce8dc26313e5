"""Ten minutes of every hostile input at once, while honest people use the site."""

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import psutil
import pytest

from digitsite.testing.site import Site, wait_until
from recognizer.models import Submission, SubmissionState
from tests.support.socket_clients import SlowBodies, slow_readers

from .honest import HonestPeople, Record
from .hostile import Attackers

# As the supervisor and the image set it.
MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "2000000"}
FORMS = (["Content-Length: 1000"], ["Transfer-Encoding: chunked"])
FIRST_SECONDS, ALL_SECONDS = 60, 600
# Long enough for what comes and goes: 100 MB while a picture is decoded, and more or fewer bodies in flight.
SAMPLE_SECONDS = 60
# What a process may have grown by since the first minute.
MAX_GROWTH = 1.15


def under_attack(make_site: Callable[..., Site], *, first: float, whole: float) -> tuple[Site, Record]:
    """A site that was attacked for `whole` seconds; its processes have not grown since the first `first` seconds."""
    site = make_site(PREDICTION_WAIT_SECONDS="2", **MALLOC)
    site.collect_static_files()
    site.start_redis()
    site.start_worker()
    site.start_default_worker()
    site.start_web()
    url = f"http://127.0.0.1:{site.port}"
    with contextlib.ExitStack() as attack:
        for headers in FORMS:
            attack.enter_context(SlowBodies(url, 50, headers, path="/api/v1/submissions", persistent=True))
        attack.enter_context(slow_readers(site.port, 20, "/api/v1/schema"))
        attackers = attack.enter_context(Attackers(url))
        with HonestPeople(url) as record:
            time.sleep(first)  # how long it lasts is what is asked for
            before = memory_of(site)
            time.sleep(whole - first - 2 * SAMPLE_SECONDS)
            after = memory_of(site)
    print(f"\n{record.summary()}\n{attackers.summary()}")
    for process, resident in after.items():
        growth = resident / before.get(process, resident)
        print(f"{process:20} {before.get(process, 0) / 1e6:6.0f} -> {resident / 1e6:6.0f} MB, {growth:.2f} x")
        assert growth <= MAX_GROWTH, process
    return site, record


def memory_of(site: Site) -> dict[str, float]:
    """Resident bytes of every process of the site, by name and id: the median of a minute."""
    samples: dict[str, list[int]] = defaultdict(list)
    for _ in range(SAMPLE_SECONDS):
        time.sleep(1)
        for part in site.parts:
            server = psutil.Process(part.pid)
            for process in (server, *server.children(recursive=True)):
                samples[f"{part.name} {process.pid}"].append(process.memory_info().rss)
    return {process: statistics.median(values) for process, values in samples.items()}


def assert_honest_people_were_served(site: Site, record: Record) -> None:
    assert not record.complaints, record.complaints[:5]
    assert record.ids
    with site.entered():
        rows = Submission.objects.all()
        wait_until(lambda: not rows.filter(state=SubmissionState.PENDING).exists(), seconds=60, event="the last answer")
        stored = set(rows.values_list("public_id", flat=True))
    assert stored.issuperset(record.ids), "an accepted submission is lost"
    assert all(part.is_running for part in site.parts)


@pytest.mark.acceptance
def test_ten_minutes_of_every_hostile_input(make_site: Callable[..., Site]) -> None:
    assert_honest_people_were_served(*under_attack(make_site, first=FIRST_SECONDS, whole=ALL_SECONDS))
