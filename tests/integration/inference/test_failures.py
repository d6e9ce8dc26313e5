"""Failures between commit and prediction, with real processes that are killed and frozen."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
import redis
from celery import current_app
from django.utils import timezone

from digitsite import redis_urls
from digitsite.testing.site import Part, Site, some_pixels, wait_until
from recognizer.models import Prediction, Source, Submission, SubmissionState
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import producer, streams
from recognizer.services.submissions import service
from recognizer.services.submissions.intake import SubmissionInput
from tests.factories import make_submission
from tests.support.crashing_worker import CRASHING_PIXEL
from tests.support.prediction_queue import predict, request_predictions


def pending() -> int:
    return Submission.objects.filter(state=SubmissionState.PENDING).count()


def make_overdue(seconds: float = 3600) -> None:
    """Make pending submissions older, so that they count as lost."""
    Submission.objects.filter(state=SubmissionState.PENDING).update(created=timezone.now() - timedelta(seconds=seconds))


def assert_all_predicted_once(count: int) -> None:
    wait_until(lambda: not pending(), seconds=40, event="the last answer")
    assert Submission.objects.filter(state=SubmissionState.PREDICTED).count() == count
    predictions = Prediction.objects.values_list("submission", "version", "preprocessing_version")
    assert len(predictions) == len(set(predictions)) == count


def add_drawing(number: int, actor: Actor) -> Submission:
    """Store and enqueue a drawing as the site does."""
    strokes = [[[60, 200, 120 + number % 40], [60, 60 + number % 30, 220]]]
    payload = SubmissionInput(source=Source.CANVAS, strokes=strokes)
    return service.create_submission(actor=actor, payload=payload, wait=True)


def wait_for(submission: Submission, seconds: float) -> Prediction | None:
    producer.enqueue_and_wait([submission], timeout=seconds, caller="a")
    return submission.latest_prediction if submission.state == SubmissionState.PREDICTED else None


@pytest.mark.both_databases(short="sqlite")
def test_crash_between_commit_and_enqueue_is_recovered(make_site) -> None:
    site = make_site(RECOVERY_INTERVAL_SECONDS="0.5")
    site.start_redis()
    site.start_worker()
    site.start_default_worker()
    with site.entered():
        make_submission(pixels=some_pixels())
        make_overdue()
        assert_all_predicted_once(1)


def test_starting_workers_predict_waiting_submissions(make_site) -> None:
    site = make_site(RECOVERY_INTERVAL_SECONDS="0.5")
    site.start_redis()
    with site.entered():
        waiting = [make_submission(pixels=some_pixels(number)) for number in range(20)]
        request_predictions(*waiting[:10])
        site.redis(0).flushall()  # the first ten are lost from the queue
        make_overdue()
        request_predictions(*waiting[10:])
        site.start_worker()
        site.start_default_worker()
        assert_all_predicted_once(20)


@pytest.mark.both_databases(short="sqlite")
def test_flushed_redis_loses_no_submission(make_site) -> None:
    site = make_site(RECOVERY_INTERVAL_SECONDS="0.5")
    site.start_redis()
    worker = site.start_worker()
    site.start_default_worker()
    with site.entered():
        worker.freeze()
        lost = [make_submission(pixels=some_pixels(number)) for number in range(20)]
        request_predictions(*lost)
        site.redis().flushall()
        worker.thaw()
        make_overdue()
        assert_all_predicted_once(20)
        wait_until(streams.consumer_alive)
        assert predict(make_submission(pixels=some_pixels()))


@contextlib.contextmanager
def locked_database(site: Site) -> Iterator[None]:
    """Block other writers of the database."""
    if site.database_url:
        with psycopg.connect(site.database_url) as connection:
            connection.execute("LOCK TABLE recognizer_submission, recognizer_prediction IN EXCLUSIVE MODE")
            yield
            connection.rollback()
        return
    with contextlib.closing(sqlite3.connect(site.folder / "db.sqlite3", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@pytest.mark.both_databases(short="sqlite")
def test_worker_killed_between_read_and_write_loses_no_submission(site: Site) -> None:
    site.start_redis()
    worker = site.start_worker()
    with site.entered():
        read = [make_submission(pixels=some_pixels(number)) for number in range(5)]
        wait_until(streams.consumer_alive)
        with locked_database(site):
            request_predictions(*read)
            group = (streams.SUBMISSIONS, streams.GROUP)
            wait_until(lambda: site.redis().xpending(*group)["pending"] == 5, event="the worker's read")
            worker.kill()
        assert pending() == 5
        site.start_worker()
        assert_all_predicted_once(5)


def test_requests_do_not_wait_for_killed_worker(site: Site) -> None:
    site.start_redis()
    worker = site.start_worker()
    with site.entered():
        wait_until(streams.consumer_alive)
        worker.kill()
        wait_until(lambda: not streams.consumer_alive(), event="the end of the heartbeat")
        started = time.monotonic()
        assert predict(make_submission(pixels=some_pixels()), timeout=2) is None
        assert time.monotonic() - started < 0.5


def test_requests_neither_fail_nor_wait_without_redis(site: Site) -> None:
    with site.entered():
        submission = make_submission(pixels=some_pixels())
        started = time.monotonic()
        assert predict(submission, timeout=2) is None
        producer.predict_later([submission.pk])
        assert not streams.consumer_alive()
        assert time.monotonic() - started < 0.5
        assert pending() == 1


def freeze(make_site, seconds: float) -> None:
    """Freeze Redis for `seconds` while people draw."""
    site = make_site(RECOVERY_INTERVAL_SECONDS="0.5")
    redis = site.start_redis()
    site.start_worker()
    site.start_default_worker()
    with site.entered():
        actor = Actor(visitor="a" * 32)
        wait_until(streams.consumer_alive)
        assert wait_for(add_drawing(0, actor), 10)
        redis.freeze()
        started = time.monotonic()
        durations = []
        while time.monotonic() - started < seconds:
            before = time.monotonic()
            submission = add_drawing(len(durations) + 1, actor)
            assert wait_for(submission, 2) is None
            durations.append(time.monotonic() - before)
            if len(durations) > 1:
                time.sleep(0.1)  # visitors do not draw faster
        redis.thaw()
        # The first request waits for a timeout and opens the circuit breaker; later ones occasionally try again.
        assert durations[0] < 4
        assert max(durations[1:]) < 1
        assert sorted(durations)[len(durations) // 2] < 0.2
        assert_all_predicted_once(len(durations) + 1)
        # The circuit breaker closes a little later.
        wait_until(lambda: wait_for(add_drawing(len(durations) + 1, actor), 2), seconds=20)


def test_frozen_redis_delays_only_predictions(make_site) -> None:
    freeze(make_site, 5)


@pytest.mark.acceptance
def test_redis_frozen_for_20_seconds_delays_only_predictions(make_site) -> None:
    freeze(make_site, 20)


def test_redis_frozen_during_wait_costs_at_most_three_seconds(site: Site) -> None:
    redis = site.start_redis()
    worker = site.start_worker()
    with site.entered():
        wait_until(streams.consumer_alive)
        worker.freeze()
        submission = make_submission(pixels=some_pixels())
        timer = threading.Timer(0.3, redis.freeze)
        timer.start()
        started = time.monotonic()
        assert predict(submission, timeout=2) is None
        assert time.monotonic() - started < 3


def test_image_that_crashes_worker_is_failed_alone(site: Site) -> None:
    site.start_redis()
    crashing_pixels = bytes([CRASHING_PIXEL]) + some_pixels()[1:]
    with site.entered():
        harmless = [make_submission(pixels=some_pixels(number)) for number in range(3)]
        crashing = make_submission(pixels=crashing_pixels)
        Submission.objects.update(attempts=1)  # skips the first of two counted attempts in a batch
        request_predictions(*harmless, crashing)
        crashes = 0
        # Restart the worker whenever it has crashed, as the supervisor does.
        worker: Part | None = None
        while pending():
            if worker is None or not worker.is_running:
                crashes += worker is not None
                assert crashes <= 4, worker.output
                worker = site.start_worker(mortal=True, ready=False)
            time.sleep(0.02)
        assert crashes == 4  # the first one is not counted: the entries were not claimed
        crashing.refresh_from_db()
        assert crashing.state == SubmissionState.FAILED
        assert "The worker stopped each of the 4 times it tried this picture" in crashing.failure
        for submission in harmless:
            submission.refresh_from_db()
            assert submission.state == SubmissionState.PREDICTED
        assert Prediction.objects.count() == 3
        assert wait_for(crashing, 2) is None


def chaos(make_site, count: int) -> None:
    """Kill the worker, then Redis, then flush it, while people draw."""
    site = make_site(RECOVERY_INTERVAL_SECONDS="1")
    redis = site.start_redis()
    worker = site.start_worker()
    site.start_default_worker()
    with site.entered():
        events = {count // 4: "worker", count // 2: "redis", count * 3 // 4: "flush"}
        for number in range(count):
            add_drawing(number, Actor(visitor="a" * 32))
            event = events.get(number)
            if event == "worker":
                worker.kill()
                worker = site.start_worker(ready=False)
            elif event == "redis":
                redis.kill()
                redis = site.start_redis()
            elif event == "flush":
                site.redis().flushall()
        assert_all_predicted_once(count)


@pytest.mark.both_databases(short="sqlite")
def test_200_submissions_survive_killed_worker_and_killed_and_flushed_redis(make_site) -> None:
    chaos(make_site, 200)


def wait_for_running_task(site: Site, worker: Part) -> redis.Redis:
    """Wait until the default worker runs a task, which needs a locked database; return the broker's Redis."""
    broker = site.redis(redis_urls.BROKER)
    current_app.send_task("recognizer.tasks.tend_training_runs", retry=False)
    wait_until(lambda: broker.hlen("unacked"), event="the task that waits for the database")
    return broker


def test_stopped_default_worker_finishes_its_task(site: Site) -> None:
    site.start_redis()
    worker = site.start_default_worker()
    with site.entered():
        with locked_database(site):
            broker = wait_for_running_task(site, worker)
            worker.ask_to_stop()
            worker.wait_for_words("Warm shutdown")
        wait_until(lambda: not worker.is_running)
        assert (worker.exit_status, broker.hlen("unacked")) == (0, 0)
    assert "OperationalError" not in worker.output


@pytest.mark.acceptance
def test_task_of_killed_default_worker_is_redelivered_after_timeout(make_site) -> None:
    site = make_site(RECOVERY_INTERVAL_SECONDS="3600")  # so that the beat does not send the task again
    site.start_redis()
    worker = site.start_default_worker()
    with site.entered():
        with locked_database(site):
            broker = wait_for_running_task(site, worker)
            worker.kill()
        assert broker.hlen("unacked") == 1
        broker.zadd("unacked_index", dict.fromkeys(broker.zrange("unacked_index", 0, -1), time.time() - 3601))
        site.start_default_worker()
        wait_until(lambda: not broker.hlen("unacked") and not broker.llen("default"), seconds=40)


def test_connection_recovers_after_many_failed_requests(site: Site) -> None:
    with site.entered():
        for number in range(150):
            producer.enqueue([number])
        site.start_redis()
        producer.enqueue([4711])
        assert streams.queued_ids(site.redis()) == {4711}
