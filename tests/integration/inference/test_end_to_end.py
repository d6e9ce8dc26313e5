"""Submissions from row to prediction, and previews, which are not stored."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from digitsite.testing.site import Part, Site, some_pixels, wait_until
from ml.preprocessing import Prepared
from recognizer.models import Prediction, Submission, SubmissionState
from recognizer.services.inference import handoff
from recognizer.services.registry import versions
from tests.factories import make_submission

MEGABYTE = 2**20


@pytest.fixture
def worker(site: Site) -> Part:
    site.start_redis()
    return site.start_worker()


def make_prepared(seed: int = 0) -> Prepared:
    return Prepared(pixels=np.frombuffer(some_pixels(seed), np.uint8).reshape(28, 28), ink={}, blank=False)


@pytest.mark.both_databases
def test_pushed_submission_is_predicted_while_request_waits(site: Site, worker: Part) -> None:
    with site.entered():
        submission = make_submission(pixels=some_pixels())
        handoff.push([submission.pk])
        prediction = handoff.wait_for(submission, 10)
        assert prediction is not None
        stored = Submission.objects.get()
        assert stored.state == SubmissionState.PREDICTED == submission.state
        assert stored.latest_prediction == prediction == submission.latest_prediction


def test_late_waiter_reads_prediction_from_row(site: Site, worker: Part) -> None:
    with site.entered():
        submission = make_submission(pixels=some_pixels())
        late_copy = Submission.objects.get()
        handoff.push([submission.pk])
        answer = handoff.wait_for(submission, 10)
        assert answer is not None
        assert handoff.wait_for(late_copy, 0.1) == answer
        assert late_copy.state == SubmissionState.PREDICTED


def test_process_that_did_not_push_gets_result_immediately(site: Site, worker: Part) -> None:
    with site.entered():
        submissions = [make_submission(pixels=some_pixels(number)) for number in range(3)]
        predicted, *waiting = submissions
        handoff.push([predicted.pk], reply=False)  # as another process did before it was killed
        wait_until(Prediction.objects.exists)
        worker.freeze()
        handoff.push([row.pk for row in waiting], reply=False)
        thread = threading.Timer(0.3, worker.thaw)
        thread.start()
        started = time.monotonic()
        handoff.wait_for_all(submissions, 10, caller="a")
        assert time.monotonic() - started < 5
        assert {row.state for row in submissions} == {SubmissionState.PREDICTED}
        assert Prediction.objects.count() == 3
        thread.join()


def test_empty_reply_tells_waiter_to_read_row(site: Site, worker: Part) -> None:
    with site.entered():
        submission = make_submission(pixels=some_pixels())
        Submission.objects.update(state=SubmissionState.FAILED, failure="It is torn.")
        handoff.push([submission.pk])
        started = time.monotonic()
        assert handoff.wait_for(submission, 10) is None
        assert time.monotonic() - started < 5
        assert (submission.state, submission.failure) == (SubmissionState.FAILED, "It is torn.")


def test_preview_is_predicted_and_not_stored(site: Site, worker: Part) -> None:
    with site.entered():
        handoff.ring()
        answer = handoff.preview(make_prepared(), 10)
        expected = versions.live_classifier.current()[1].answer(make_prepared().pixels[None], [{}])[0]
        assert answer is not None
        assert answer.verdict == expected.verdict
        assert answer.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert not Submission.objects.exists()
        assert not Prediction.objects.exists()


def test_previews_are_dropped_while_submissions_wait(site: Site, worker: Part) -> None:
    with site.entered():
        worker.freeze()
        handoff.ring()
        assert handoff.preview(make_prepared(), 0.3) is None
        submission = make_submission(pixels=some_pixels())
        handoff.push([submission.pk])
        worker.thaw()
        assert handoff.wait_for(submission, 10)
        assert handoff.preview(make_prepared(), 10)
        assert not handoff.link().redis.llen("previews")


def test_preview_returns_immediately_without_worker(site: Site) -> None:
    site.start_redis()
    with site.entered():
        started = time.monotonic()
        assert handoff.preview(make_prepared(), 5) is None
        assert time.monotonic() - started < 2


def test_number_of_waiting_requests_is_limited(make_site) -> None:
    site = make_site(MAX_WAITING_REQUESTS="3")  # of which one caller may use two
    site.start_redis()
    worker = site.start_worker()
    with site.entered():
        worker.freeze()
        submissions = [make_submission(pixels=some_pixels(number)) for number in range(3)]
        handoff.push([row.pk for row in submissions])
        waiting = [threading.Thread(target=handoff.wait_for, args=(row, 1)) for row in submissions[:2]]
        for thread in waiting:
            thread.start()
        wait_until(lambda: handoff.link().waiting.free == 1)
        started = time.monotonic()
        assert handoff.wait_for(submissions[2], 1) is None
        assert time.monotonic() - started < 0.5
        for thread in waiting:
            thread.join()


def test_waiting_requests_of_one_caller_leave_slots_for_another(make_site) -> None:
    """At commit 07961fc one caller could occupy all slots."""
    site = make_site(MAX_WAITING_REQUESTS="8")
    site.start_redis()
    worker = site.start_worker()
    with site.entered():
        submission = make_submission(pixels=some_pixels())
        handoff.ring()
        worker.freeze()
        with handoff.wait_slots(["greedy"] * 20) as granted:
            assert sum(granted) == 6
            handoff.push([submission.pk])
            waiting = threading.Thread(
                target=handoff.wait_for_all, args=([submission], 10), kwargs={"caller": "honest"}
            )
            waiting.start()
            wait_until(lambda: handoff.link().waiting.free == 1)
            worker.thaw()
            waiting.join()
        assert submission.state == SubmissionState.PREDICTED


def test_worker_predicts_500_submissions_within_150_mb_without_tensorflow(site: Site, worker: Part) -> None:
    with site.entered():
        submissions = [make_submission(pixels=some_pixels(number)) for number in range(500)]
        handoff.push([row.pk for row in submissions])
        assert handoff.wait_for(submissions[-1], 2)
        assert Submission.objects.filter(state=SubmissionState.PREDICTED).count() == 500
        assert Prediction.objects.count() == 500
    assert worker.rss() < 150 * MEGABYTE
    mapped = Path(f"/proc/{worker.pid}/maps")
    if mapped.exists():  # Linux
        assert "/tensorflow/" not in mapped.read_text()
