"""Several web processes on one port: shared writes to SQLite, metrics, and restarts."""

import contextlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from digitsite.testing.site import Part, Site, wait_until
from digitsite.testing.supervised import a_three
from recognizer.models import Submission

CLIENTS, REQUESTS_PER_CLIENT = 16, 25
UNLIMITED = dict.fromkeys(("SUBMISSIONS_PER_MINUTE", "SUBMISSIONS_PER_DAY"), "0")

MakeSite = Callable[..., Site]


def processes_of(web: Part) -> list[psutil.Process]:
    """The processes that serve requests: children of granian's main process."""
    return [
        child for child in psutil.Process(web.pid).children() if "resource_tracker" not in " ".join(child.cmdline())
    ]


def metric(client: httpx.Client, name: str, labels: str = "") -> float:
    text = client.get("/metrics").text
    (value,) = re.findall(rf"^{name}{re.escape(labels)} (\S+)$", text, re.MULTILINE)
    return float(value)


def post_drawings(site: Site, count: int) -> list[int]:
    """Post drawings over a new connection each; return the statuses."""
    statuses = []
    for _ in range(count):
        with site.client() as client:
            statuses.append(client.post("/api/v1/submissions", json={"strokes": [a_three()]}).status_code)
    return statuses


def test_submissions_of_four_processes_are_stored_and_counted(make_site: MakeSite) -> None:
    site = make_site(WEB_PROCESSES="4", **UNLIMITED)
    site.start_redis()
    site.start_worker()
    web = site.start_web()
    with ThreadPoolExecutor(CLIENTS) as pool:
        posted = pool.map(lambda _: post_drawings(site, REQUESTS_PER_CLIENT), range(CLIENTS))
        statuses = [status for part in posted for status in part]
    assert set(statuses) <= {201, 202}  # "database is locked" would be a 500 or 503
    with site.entered():
        assert Submission.objects.count() == len(statuses) == CLIENTS * REQUESTS_PER_CLIENT
    with site.client() as client:
        labels = {status: f'{{method="POST",status="{status}",view="api-submissions"}}' for status in set(statuses)}
        counts = {status: metric(client, "digits_http_requests_total", label) for status, label in labels.items()}
        assert counts == {status: statuses.count(status) for status in labels}
        assert metric(client, "digits_http_request_seconds_count", '{view="api-submissions"}') == len(statuses)
        resident = sum(process.memory_info().rss for process in processes_of(web))
        assert metric(client, "process_resident_memory_bytes") == pytest.approx(resident, rel=0.1)


def test_killed_process_is_restarted_and_its_counts_are_kept(make_site: MakeSite) -> None:
    site = make_site(WEB_PROCESSES="2")
    site.start_redis()
    web = site.start_web()
    with site.client() as client:
        wait_until(lambda: metric(client, "digits_web_processes") == 2, event="the start of both processes")
        post_drawings(site, 20)
        victim = processes_of(web)[0]
        victim.kill()
        wait_until(lambda: site_counts(site) == (2, 20), event="the restart")
    assert victim.pid not in {process.pid for process in processes_of(web)}
    assert web.is_running


def site_counts(site: Site) -> tuple[float, float] | None:
    """Return the number of web processes and of submissions, or None while a connection fails."""
    label = '{method="POST",status="202",view="api-submissions"}'
    try:
        with site.client() as client:
            return metric(client, "digits_web_processes"), metric(client, "digits_http_requests_total", label)
    except httpx.TransportError:
        return None


def test_every_process_accepts_connections(make_site: MakeSite) -> None:
    site = make_site(WEB_PROCESSES="2")
    site.start_redis()
    web = site.start_web()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.client()) for _ in range(40)]
        wait_until(lambda: len(serving_processes(web, clients)) == 2, event="a connection to each process")


def serving_processes(web: Part, clients: list[httpx.Client]) -> set[int]:
    """Return the processes that have a connection, after a request of each client."""
    for client in clients:
        client.get("/healthz")
    return {
        process.pid
        for process in processes_of(web)
        if any(connection.status == psutil.CONN_ESTABLISHED for connection in process.net_connections("tcp"))
    }
