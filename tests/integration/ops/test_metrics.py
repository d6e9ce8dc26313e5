"""/metrics: access, content and cost."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoDbBlocker

from digitsite import __version__
from digitsite.testing.site import Site, wait_until
from digitsite.testing.supervised import a_three
from recognizer.models import Submission
from recognizer.services.ops import drift
from tests.factories import make_prediction, make_submission

TOKEN = "a long enough token"


def samples(text: str) -> dict[tuple, float]:
    """Return the value of every sample by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# --- Access -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_metrics_without_token_are_local_only(client):
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="::1").status_code == 200
    for forwarded in ("X-Forwarded-For", "Forwarded", "Via", "X-Forwarded-Proto"):
        assert client.get("/metrics", headers={forwarded: "127.0.0.1"}).status_code == 403
    for address in ("192.168.1.7", "203.0.113.9", "", "unix:"):
        assert client.get("/metrics", REMOTE_ADDR=address).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("forwarded", [None, "", "127.0.0.1", "::1", "203.0.113.9, 127.0.0.1", "\xff"])
def test_metrics_behind_proxy_need_token(forwarded, client, settings):
    settings.BEHIND_PROXY = True
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 403
    assert b"Set METRICS_TOKEN" in answer.content
    settings.METRICS_TOKEN = TOKEN
    headers["Authorization"] = f"Bearer {TOKEN}"
    assert client.get("/metrics", headers=headers).status_code == 200


@pytest.mark.django_db
def test_metrics_with_token_need_that_token(client, settings):
    settings.METRICS_TOKEN = TOKEN
    for header in (None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"):
        answer = client.get("/metrics", headers={"Authorization": header} if header else {})
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"] == "Bearer"
    answer = client.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"}, REMOTE_ADDR="203.0.113.9")
    assert answer.status_code == 200
    assert client.post("/metrics").status_code == 405


@pytest.mark.django_db
def test_metrics_have_version(client):
    figures = samples(client.get("/metrics").content.decode())
    assert figures[("digits_build_info", ("version", __version__))] == 1


# --- Content ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running_site(template_database: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[Site, httpx.Client]]:
    site = Site(template_database)
    try:
        site.start_redis()
        site.start_worker()
        site.start_web()
        with site.client() as client, django_db_blocker.unblock():
            yield site, client
    finally:
        site.stop()


def test_predictions_are_counted(running_site):
    _, client = running_site
    for _ in range(3):
        assert client.post("/api/v1/submissions", json={"strokes": [a_three()]}).status_code == 201
    client.get("/api/v1/submissions/nobodys")

    def read_counters() -> dict | None:
        # The worker flushes its counters a moment after the reply at the latest.
        metrics = samples(client.get("/metrics").text)
        return metrics if metrics.get(("digits_predictions_total", ("digit", "3"), ("verdict", "sure"))) == 3 else None

    metrics = wait_until(read_counters, event="three counted answers")
    view = (("method", "POST"), ("status", "201"), ("view", "api-submissions"))
    assert metrics["digits_http_requests_total", *view] == 3
    assert metrics["digits_http_requests_total", ("method", "GET"), ("status", "404"), ("view", "api-submission")] == 1
    assert metrics["digits_http_request_seconds_count", ("view", "api-submissions")] == 3
    assert metrics["digits_batch_size_sum",] == 3
    assert 1 <= metrics["digits_batch_size_count",] <= 3
    assert metrics["digits_batch_size_bucket", ("le", "+Inf")] == metrics["digits_batch_size_count",]
    assert metrics["digits_model_seconds_total",] > 0
    assert metrics["digits_submissions_total",] == 3
    assert metrics["digits_submissions_pending",] == metrics["digits_queue_length",] == 0
    assert metrics["digits_workers",] == 1
    assert metrics["digits_live_version",] == 1
    assert metrics["digits_up", ("part", "database")] == metrics["digits_up", ("part", "redis")] == 1
    assert metrics["digits_celery_queue_length", ("queue", "train")] == 0
    assert metrics["digits_training_state", ("state", "running")] == 0
    assert 0 < metrics["digits_pictures_bytes",] < 100_000
    assert metrics["digits_pictures_files",] == 1  # three equal drawings
    assert metrics["digits_database_bytes",] > 1_000_000
    assert metrics["digits_free_bytes",] > 0
    assert metrics["process_resident_memory_bytes",] > 10_000_000


def test_metrics_have_no_personal_data(running_site):
    _, client = running_site
    submission = client.post("/api/v1/submissions", json={"strokes": [a_three()]}).json()
    client.get(f"/api/v1/submissions/{submission['id']}?key=a-secret-key")
    client.get("/account/sign-in/MQ/a-secret-token/")
    text = client.get("/metrics").text
    for secret in (submission["id"], "secret", "127.0.0.1", "localhost"):
        assert secret not in text


def test_frozen_redis_leaves_other_metrics(running_site):
    site, client = running_site
    redis = site.parts[0]
    redis.freeze()
    try:
        metrics = samples(client.get("/metrics").text)
        assert metrics["digits_up", ("part", "redis")] == 0
        assert metrics["digits_up", ("part", "database")] == 1
        assert metrics["digits_live_version",] == 1
        assert ("digits_workers",) not in metrics
    finally:
        redis.thaw()


# --- Cost -------------------------------------------------------------------------------------------------------------


@pytest.mark.both_databases
@pytest.mark.django_db
def test_scrape_has_fixed_query_count(client):
    client.get("/metrics")
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get("/metrics")
        counts.append(len(queries))
        for _ in range(10):
            make_prediction(make_submission())
    assert counts[0] == counts[1] <= 12


@pytest.mark.acceptance
@pytest.mark.django_db
def test_scrape_of_100000_submissions_takes_less_than_100_ms(client):
    first = make_submission()
    make_prediction(first)
    row = Submission.objects.values().get(pk=first.pk)
    for start in range(0, 100_000, 10_000):
        Submission.objects.bulk_create(
            [
                Submission(**row | {"id": None, "public_id": f"n{number}", "created": timezone.now()})
                for number in range(start, start + 10_000)
            ],
            batch_size=500,
        )
    client.get("/metrics")
    times = []
    for _ in range(9):
        started = time.process_time()
        assert client.get("/metrics").status_code == 200
        times.append(time.process_time() - started)
    median = sorted(times)[4]
    print(f"a scrape takes {median * 1000:.0f} ms of processor time")
    assert median < 0.1


# --- Drift ------------------------------------------------------------------------------------------------------------


def test_stability_index_is_zero_for_same_and_large_for_other_distribution():
    even = [100] * 10
    assert drift.stability_index([10] * 10, even) == pytest.approx(0, abs=0.001)
    assert drift.stability_index([11, 9, 10, 12, 8, 10, 10, 10, 9, 11], even) < 0.1
    assert drift.stability_index([100, 0, 0, 0, 0, 0, 0, 0, 0, 0], even) > 1
    assert drift.stability_index([200, 100, 100, 100, 100, 100, 100, 50, 50, 100], even) > 0.1


@pytest.mark.django_db
def test_changed_digits_raise_drift_index(monkeypatch):
    monkeypatch.setattr(drift, "RECENT_COUNT", 20)
    monkeypatch.setattr(drift, "MIN_PREDICTIONS", 20)
    for number in range(20):
        make_prediction(make_submission(), digit=number % 10, runner_up=(number + 1) % 10)
    assert drift.measure().digits is None
    for number in range(20):
        make_prediction(make_submission(), digit=number % 10, runner_up=(number + 1) % 10)
    steady = drift.measure()
    assert steady.digits == pytest.approx(0, abs=0.01)
    assert steady.sure_share == 1
    for _ in range(20):
        make_prediction(make_submission(), digit=4, certainty=0.6, verdict="unsure")
    changed = drift.measure()
    assert changed.digits > 0.25
    assert changed.certainty > 0.25
    assert changed.mean_certainty == pytest.approx(0.6)
    assert changed.sure_share == 0
