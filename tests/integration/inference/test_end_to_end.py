"""Submissions from row to prediction, and previews, which are not stored."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitsite.testing.site import Part, Site, some_pixels, wait_until
from ml.preprocessing import Prepared
from ml.preprocessing.strokes import render_strokes
from ml.readings import Reading, ReadingKind
from recognizer.models import Prediction, Source, Submission, SubmissionState
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import producer, streams
from recognizer.services.lib.redis_client import redis_client
from recognizer.services.registry import versions
from recognizer.services.submissions import crops, service
from recognizer.services.submissions.intake import SubmissionInput
from tests.factories import make_submission
from tests.image_samples import SEVEN, png, seven_pixels
from tests.support.prediction_queue import predict, request_predictions

MEGABYTE = 2**20


@pytest.fixture
def worker(site: Site) -> Part:
    site.start_redis()
    return site.start_worker()


def make_prepared(seed: int = 0) -> Prepared:
    return Prepared(pixels=np.frombuffer(some_pixels(seed), np.uint8).reshape(28, 28), ink={}, blank=False)


def free_slots(size: int) -> int:
    return producer.waiting_requests(size).free


@pytest.mark.both_databases
def test_enqueued_submission_is_predicted_while_request_waits(site: Site, worker: Part) -> None:
    with site.entered():
        submission = make_submission(pixels=some_pixels())
        prediction = predict(submission)
        assert prediction is not None
        stored = Submission.objects.get()
        assert stored.state == SubmissionState.PREDICTED == submission.state
        assert stored.latest_prediction == prediction == submission.latest_prediction


def test_late_waiter_reads_prediction_from_row(site: Site, worker: Part) -> None:
    with site.entered():
        submission = make_submission(pixels=some_pixels())
        late_copy = Submission.objects.get()
        answer = predict(submission)
        assert answer is not None
        producer.wait([late_copy], reply_to=producer.new_reply_list(), timeout=0.1)
        assert late_copy.latest_prediction == answer
        assert late_copy.state == SubmissionState.PREDICTED


def test_request_that_did_not_enqueue_gets_result_immediately(site: Site, worker: Part) -> None:
    with site.entered():
        submissions = [make_submission(pixels=some_pixels(number)) for number in range(3)]
        predicted, *waiting = submissions
        producer.enqueue([predicted.pk])  # as another process did before it was killed
        wait_until(Prediction.objects.exists)
        worker.freeze()
        producer.enqueue([row.pk for row in waiting])
        thread = threading.Timer(0.3, worker.thaw)
        thread.start()
        started = time.monotonic()
        producer.enqueue_and_wait(submissions, timeout=10, caller="a")
        assert time.monotonic() - started < 5
        assert {row.state for row in submissions} == {SubmissionState.PREDICTED}
        assert Prediction.objects.count() == 3
        thread.join()


def test_empty_reply_tells_waiter_to_read_row(site: Site, worker: Part) -> None:
    with site.entered():
        submission = make_submission(pixels=some_pixels())
        Submission.objects.update(state=SubmissionState.FAILED, failure="It is torn.")
        started = time.monotonic()
        assert predict(submission) is None
        assert time.monotonic() - started < 5
        assert (submission.state, submission.failure) == (SubmissionState.FAILED, "It is torn.")


def test_preview_is_predicted_and_not_stored(site: Site, worker: Part) -> None:
    with site.entered():
        wait_until(streams.consumer_alive)
        answer = producer.preview(make_prepared(), timeout=10)
        expected = versions.live_classifier.current()[1].answer(make_prepared().pixels[None], [{}])[0]
        assert answer is not None
        assert answer.verdict == expected.verdict
        assert answer.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert not Submission.objects.exists()
        assert not Prediction.objects.exists()
        wait_until(lambda: not site.redis().xlen(streams.PREVIEWS), event="the deletion of the entry")


def test_preview_chooses_among_all_readings(site: Site, worker: Part) -> None:
    seven = Reading(ReadingKind.UNMARKED, seven_pixels())
    prepared = Prepared(np.zeros((28, 28), np.uint8), blank=True, alternatives=(seven,))
    with site.entered():
        wait_until(streams.consumer_alive)
        answer = producer.preview(prepared, timeout=10)
        assert answer is not None
        assert (answer.digit, answer.reading) == (7, 1)


def test_previews_are_dropped_while_submissions_wait(site: Site, worker: Part) -> None:
    with site.entered():
        wait_until(streams.consumer_alive)
        worker.freeze()
        assert producer.preview(make_prepared(), timeout=0.3) is None
        submission = make_submission(pixels=some_pixels())
        reply_to = request_predictions(submission)
        worker.thaw()
        producer.wait([submission], reply_to=reply_to, timeout=10)
        assert submission.state == SubmissionState.PREDICTED
        assert producer.preview(make_prepared(), timeout=10)
        wait_until(lambda: not site.redis().xlen(streams.PREVIEWS), event="the deletion of both entries")


def test_preview_that_is_read_together_with_a_submission_is_predicted_after_it(site: Site, worker: Part) -> None:
    with site.entered(), ThreadPoolExecutor() as pool:
        wait_until(streams.consumer_alive)
        worker.freeze()
        submission = make_submission(pixels=some_pixels())
        reply_to = request_predictions(submission)
        preview = pool.submit(producer.preview, make_prepared(), timeout=10)
        wait_until(lambda: site.redis().xlen(streams.PREVIEWS), event="the entry of the preview")
        worker.thaw()
        producer.wait([submission], reply_to=reply_to, timeout=10)
        assert submission.state == SubmissionState.PREDICTED
        assert preview.result(10)


def test_preview_returns_immediately_without_worker(site: Site) -> None:
    site.start_redis()
    with site.entered():
        started = time.monotonic()
        assert producer.preview(make_prepared(), timeout=5) is None
        assert time.monotonic() - started < 2


def test_number_of_waiting_requests_is_limited(make_site) -> None:
    site = make_site(MAX_WAITING_REQUESTS="3")  # of which one caller may use two
    site.start_redis()
    worker = site.start_worker()
    with site.entered():
        wait_until(streams.consumer_alive)
        worker.freeze()
        submissions = [make_submission(pixels=some_pixels(number)) for number in range(3)]
        options = {"timeout": 1, "caller": "a"}
        waiting = [
            threading.Thread(target=producer.enqueue_and_wait, args=([row],), kwargs=options) for row in submissions[:2]
        ]
        for thread in waiting:
            thread.start()
        wait_until(lambda: free_slots(3) == 1)
        started = time.monotonic()
        producer.enqueue_and_wait(submissions[2:], **options)
        assert time.monotonic() - started < 0.5
        assert submissions[2].state == SubmissionState.PENDING
        for thread in waiting:
            thread.join()


def test_waiting_requests_of_one_caller_leave_slots_for_another(make_site) -> None:
    """At commit 07961fc one caller could occupy all slots."""
    site = make_site(MAX_WAITING_REQUESTS="8")
    site.start_redis()
    worker = site.start_worker()
    with site.entered():
        submission = make_submission(pixels=some_pixels())
        wait_until(streams.consumer_alive)
        worker.freeze()
        with producer.wait_slots(["greedy"] * 20) as granted:
            assert sum(granted) == 6
            waiting = threading.Thread(
                target=producer.enqueue_and_wait, args=([submission],), kwargs={"timeout": 10, "caller": "honest"}
            )
            waiting.start()
            wait_until(lambda: free_slots(8) == 1)
            worker.thaw()
            waiting.join()
        assert submission.state == SubmissionState.PREDICTED


def test_worker_predicts_500_submissions_within_150_mb_without_tensorflow(site: Site, worker: Part) -> None:
    with site.entered():
        submissions = [make_submission(pixels=some_pixels(number)) for number in range(1000)]
        reply_to = request_predictions(*submissions[:500])
        producer.predict_later([row.pk for row in submissions[500:]])  # the main thread has a model of its own
        producer.wait(submissions[:500], reply_to=reply_to, timeout=10)
        assert {row.state for row in submissions[:500]} == {SubmissionState.PREDICTED}
        wait_until(lambda: not Submission.objects.filter(state=SubmissionState.PENDING).exists())
        assert Prediction.objects.count() == 1000
    assert worker.rss() < 150 * MEGABYTE
    mapped = Path(f"/proc/{worker.pid}/maps")
    if mapped.exists():  # Linux
        assert "/tensorflow/" not in mapped.read_text()


@pytest.mark.both_databases
def test_crops_that_follow_each_other_while_worker_predicts_end_with_the_last_one(site: Site, worker: Part) -> None:
    with site.entered():
        ink = np.hstack([render_strokes(SEVEN), render_strokes([[[140, 140], [50, 230]]])])
        actor = Actor(visitor="a" * 32)
        payload = SubmissionInput(source=Source.API, image=png(Image.fromarray(255 - ink)))
        row = service.create_submission(actor=actor, payload=payload)
        predict(row)
        halves = [[0, 0, 280, 280], [280, 0, 560, 280]]
        for box in halves * 5:
            crops.set_crop(actor=actor, submission=row, crop=box, timeout=0.001)
        crops.set_crop(actor=actor, submission=row, crop=halves[0], timeout=10)
        assert (row.state, row.latest_prediction.digit, row.latest_prediction.crop_box) == ("predicted", 7, halves[0])
        wait_until(lambda: not streams.queue_length(redis_client()))
        stored = Submission.objects.get()
        assert (stored.state, stored.digit, stored.latest_prediction) == ("predicted", 7, row.latest_prediction)
        assert Prediction.objects.filter(submission=row).count() <= 3
