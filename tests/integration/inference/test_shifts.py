"""Shifts of real workers: their end, their stop, two of them at once."""

import random
import time

import pytest

from digitsite.testing.site import Site, some_pixels, wait_until
from recognizer.models import Prediction, Submission, SubmissionState
from recognizer.services.inference import handoff
from tests.factories import make_submission


def ask(number: int) -> float | None:
    """Push one submission; the seconds until its answer, or None if it was stranded."""
    submission = make_submission(pixels=some_pixels(number % 20))
    started = time.monotonic()
    handoff.push([submission.pk])
    return time.monotonic() - started if handoff.wait_for(submission, 10) else None


def stranded(site: Site, pushes: int, idle: float) -> int:
    """Push just when the worker's shift is about to end for want of work; how many pushes nobody served."""
    site.start_redis()
    site.start_worker()
    chance = random.Random(1)
    with site.entered():
        ask(0)
        missed = 0
        for number in range(pushes):
            time.sleep(max(0.0, idle + chance.uniform(-0.006, 0.006)))  # what is awaited is the very edge of this time
            missed += ask(number) is None
    return missed


def test_push_around_end_of_session_is_served(make_site) -> None:
    assert stranded(make_site(WORKER_IDLE_SECONDS="0.02"), 200, 0.02) == 0


@pytest.mark.acceptance
def test_3000_pushes_around_end_of_sessions_are_served(make_site) -> None:
    assert stranded(make_site(WORKER_IDLE_SECONDS="0.02"), 3000, 0.02) == 0


def test_sessions_hand_over_without_delay(make_site) -> None:
    site = make_site(WORKER_SESSION_SECONDS="0.3")
    site.start_redis()
    site.start_worker()
    tokens = set()
    with site.entered():
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert ask(1) is not None
            tokens.update(handoff.link().redis.zrange("shifts", 0, -1))
    assert len(tokens) >= 4


def test_sigterm_ends_session_within_a_second_and_then_worker(site: Site) -> None:
    site.start_redis()
    worker = site.start_worker()
    with site.entered():
        assert ask(1) is not None
        shifts = handoff.link().redis
        assert shifts.zcard("shifts")  # the worker is in the middle of a shift
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
        handoff.push([one.pk for one in submissions])
        # The list was empty when the first came, so one worker was called; now it is long.
        handoff.push([submissions[0].pk])
        most_shifts = 0
        while Submission.objects.filter(state=SubmissionState.PENDING).exists():
            most_shifts = max(most_shifts, handoff.link().redis.zcard("shifts"))
        assert most_shifts == 2
        assert Prediction.objects.count() == 300
        assert Prediction.objects.values("submission").distinct().count() == 300
