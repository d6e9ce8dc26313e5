"""A clock that is set back by three hours: periodic jobs, heartbeats, recovery and idempotency keys."""

import math
from datetime import timedelta

import pytest
from celery import Celery
from django.utils import timezone

from digitsite.bootsteps import Scheduler
from digitsite.testing.site import Site, wait_until
from recognizer.models import IdempotencyKey, Submission
from recognizer.services.identity import idempotency
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import recovery, streams
from recognizer.services.ops import health, liveness
from recognizer.services.ops.liveness import DEFAULT, PROBES_KEY
from tests.factories import make_submission

THREE_HOURS = 3 * 3600


@pytest.fixture
def later(site_context: Site) -> float:
    """Redis's time plus three hours: the time of entries from before its clock was set back."""
    return site_context.redis().time()[0] + THREE_HOURS


def test_periodic_jobs_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery("test", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {name: {"task": name, "schedule": 0.1} for name in ("one", "two")}
    scheduler = Scheduler(app=app)
    task_names: list[str] = []
    monkeypatch.setattr(scheduler, "apply_entry", lambda entry, producer=None: task_names.append(entry.name))
    wait_until(lambda: (scheduler.tick(), {"one", "two"} <= set(task_names))[1], seconds=5, event="the first round")
    earlier = app.now() - timedelta(hours=3)
    monkeypatch.setattr(app, "now", lambda: earlier)
    task_names.clear()
    wait_until(lambda: (scheduler.tick(), {"one", "two"} <= set(task_names))[1], seconds=5, event="the next round")


def test_periodic_jobs_are_sent_at_their_intervals() -> None:
    app = Celery("test", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"one": {"task": "one", "schedule": 600}, "two": {"task": "two", "schedule": 1200}}
    scheduler = Scheduler(app=app)
    assert 599 < scheduler.tick() <= 600


def test_liveness_probe_from_the_future_does_not_count(site_context: Site, later: float) -> None:
    site_context.redis().hset(PROBES_KEY, DEFAULT, int(later))
    assert liveness.last_seen() == {DEFAULT: math.inf}
    assert liveness.stalled_queues() == [DEFAULT]
    check = next(check for check in health.run_checks() if check.name == "default")
    assert (check.is_ok, check.text) == (False, "Not heard of since the clock was set back")
    liveness.record_probe(DEFAULT)
    assert liveness.last_seen()[DEFAULT] < 5
    assert liveness.stalled_queues() == []


def test_worker_that_stopped_before_the_clock_was_set_back_is_not_alive(site_context: Site, later: float) -> None:
    site_context.redis().zadd(streams.CONSUMERS, {"dead": later})
    assert not streams.consumer_alive()
    assert streams.heartbeats(site_context.redis()) == {}


def test_submission_from_before_the_clock_was_set_back_is_recovered(site_context: Site) -> None:
    submission = make_submission()
    assert not recovery.lost_submissions().exists()
    Submission.objects.update(created=timezone.now() + timedelta(hours=3))
    assert recovery.lost_submissions().get() == submission
    check = next(check for check in health.run_checks() if check.name == "queue")
    assert not check.is_ok


def test_failed_attempt_can_be_repeated_after_the_clock_was_set_back(site_context: Site) -> None:
    person = Actor(visitor="a" * 32)
    idempotency.acquire(actor=person, key="one", fingerprint="f" * 64)
    with pytest.raises(idempotency.InProgressError):
        idempotency.acquire(actor=person, key="one", fingerprint="f" * 64)
    IdempotencyKey.objects.update(busy_until=timezone.now() + timedelta(hours=3))
    assert isinstance(idempotency.acquire(actor=person, key="one", fingerprint="f" * 64), idempotency.Claim)
