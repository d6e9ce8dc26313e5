"""All kinds of hostile input at once for ten minutes, while honest users use the site."""

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

from .honest import HonestUsers, Record
from .hostile import Attackers

# As set by the supervisor and the container image.
MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "2000000"}
FORMS = (["Content-Length: 1000"], ["Transfer-Encoding: chunked"])
FIRST_SECONDS, ALL_SECONDS = 60, 600
# Long enough for fluctuations: 100 MB while an image is decoded, and the number of bodies in flight.
SAMPLE_SECONDS = 60
# Maximum growth of a process since the first minute.
MAX_GROWTH = 1.15


def attack_site(make_site: Callable[..., Site], *, first_seconds: float, all_seconds: float) -> tuple[Site, Record]:
    """Attack a site for `all_seconds`, and check that its processes have not grown since `first_seconds`."""
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
        with HonestUsers(url) as record:
            time.sleep(first_seconds)  # the duration of the attack is what is tested
            before = memory_of(site)
            time.sleep(all_seconds - first_seconds - 2 * SAMPLE_SECONDS)
            after = memory_of(site)
    print(f"\n{record.summary()}\n{attackers.summary()}")
    for process, resident in after.items():
        growth = resident / before.get(process, resident)
        print(f"{process:20} {before.get(process, 0) / 1e6:6.0f} -> {resident / 1e6:6.0f} MB, {growth:.2f} x")
        assert growth <= MAX_GROWTH, process
    return site, record


def memory_of(site: Site) -> dict[str, float]:
    """Return the resident bytes of every process of the site, by name and id: the median of a minute."""
    samples: dict[str, list[int]] = defaultdict(list)
    for _ in range(SAMPLE_SECONDS):
        time.sleep(1)
        for part in site.parts:
            server = psutil.Process(part.pid)
            for process in (server, *server.children(recursive=True)):
                samples[f"{part.name} {process.pid}"].append(process.memory_info().rss)
    return {process: statistics.median(values) for process, values in samples.items()}


def assert_honest_users_were_served(site: Site, record: Record) -> None:
    assert not record.failures, record.failures[:5]
    assert record.ids
    with site.entered():
        rows = Submission.objects.all()
        wait_until(
            lambda: not rows.filter(state=SubmissionState.PENDING).exists(), seconds=60, event="the last prediction"
        )
        stored = set(rows.values_list("public_id", flat=True))
    assert stored.issuperset(record.ids), "an accepted submission is lost"
    assert all(part.is_running for part in site.parts)


@pytest.mark.acceptance
def test_site_serves_honest_users_during_ten_minutes_of_hostile_input(make_site: Callable[..., Site]) -> None:
    assert_honest_users_were_served(*attack_site(make_site, first_seconds=FIRST_SECONDS, all_seconds=ALL_SECONDS))
