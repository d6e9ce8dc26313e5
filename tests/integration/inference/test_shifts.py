"""Worker sessions of real workers: end, stop and two at a time."""

import random
import time

import pytest

from digitsite.testing.site import Site, some_pixels, wait_until
from recognizer.models import Prediction, Submission, SubmissionState
from recognizer.services.inference import handoff
from tests.factories import make_submission


def push_and_wait(number: int) -> float | None:
    """Push a submission; return the seconds until its prediction, or None if it was not served."""
    submission = make_submission(pixels=some_pixels(number % 20))
    started = time.monotonic()
    handoff.push([submission.pk])
    return time.monotonic() - started if handoff.wait_for(submission, 10) else None


def count_unserved(site: Site, pushes: int, idle: float) -> int:
    """Push when the worker's idle session is about to end; return the number of pushes that were not served."""
    site.start_redis()
    site.start_worker()
    rng = random.Random(1)
    with site.entered():
        push_and_wait(0)
        unserved = 0
        for number in range(pushes):
            time.sleep(max(0.0, idle + rng.uniform(-0.006, 0.006)))  # the test needs the end of this interval
            unserved += push_and_wait(number) is None
    return unserved


def test_push_around_end_of_session_is_served(make_site) -> None:
    assert count_unserved(make_site(WORKER_IDLE_SECONDS="0.02"), 200, 0.02) == 0


@pytest.mark.acceptance
def test_3000_pushes_around_end_of_sessions_are_served(make_site) -> None:
    assert count_unserved(make_site(WORKER_IDLE_SECONDS="0.02"), 3000, 0.02) == 0


def test_sessions_hand_over_without_delay(make_site) -> None:
    site = make_site(WORKER_SESSION_SECONDS="0.3")
    site.start_redis()
    site.start_worker()
    tokens = set()
    with site.entered():
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert push_and_wait(1) is not None
            tokens.update(handoff.link().redis.zrange("shifts", 0, -1))
    assert len(tokens) >= 4


def test_sigterm_ends_session_within_a_second_and_then_worker(site: Site) -> None:
    site.start_redis()
    worker = site.start_worker()
    with site.entered():
        assert push_and_wait(1) is not None
        shifts = handoff.link().redis
        assert shifts.zcard("shifts")  # a session is running
        started = time.monotonic()
        worker.ask_to_stop()
        wait_until(lambda: not shifts.zcard("shifts"))
        assert time.monotonic() - started < 1
        assert worker.terminate() < 4
        assert not shifts.zcard("workers")


@pytest.mark.both_databases(short="sqlite")
def test_two_workers_share_long_queue_without_duplicates(make_site) -> None:
    site = make_site(PREDICTION_BATCH="8")
    site.start_redis()
    for _ in range(2):
        site.start_worker()
    with site.entered():
        wait_until(lambda: handoff.link().redis.zcard("workers") == 2)
        submissions = [make_submission(pixels=some_pixels(number % 20)) for number in range(300)]
        handoff.push([row.pk for row in submissions])
        # The queue was empty at the first push, which started one session; now it is long.
        handoff.push([submissions[0].pk])
        max_sessions = 0
        while Submission.objects.filter(state=SubmissionState.PENDING).exists():
            max_sessions = max(max_sessions, handoff.link().redis.zcard("shifts"))
        assert max_sessions == 2
        assert Prediction.objects.count() == 300
        assert Prediction.objects.values("submission").distinct().count() == 300
