"""The consumer of the prediction queue in real workers: reading, claiming, stopping, and what is left to Celery."""

import threading
import time
from collections.abc import Iterator

import pytest
from django.db import connection

from digitsite import redis_urls
from digitsite.testing.site import Part, Site, some_pixels, wait_until
from recognizer.models import Prediction, Source, Submission, SubmissionState
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import background, producer, recovery, streams
from recognizer.services.inference.streams import CONSUMERS, GROUP, SUBMISSIONS
from recognizer.services.lib import redis_client
from recognizer.services.ops import liveness
from recognizer.services.submissions import service
from recognizer.services.submissions.intake import SubmissionInput
from tests.factories import make_submission
from tests.support.crashing_worker import EXITING_PIXEL
from tests.support.prediction_queue import predict, request_predictions


def pending_count() -> int:
    return Submission.objects.filter(state=SubmissionState.PENDING).count()


def make_submissions(count: int) -> list[Submission]:
    return [make_submission(pixels=some_pixels(number % 20)) for number in range(count)]


def draw(number: int = 0) -> Submission:
    """Store a drawing whose prediction a request waits for."""
    payload = SubmissionInput(source=Source.CANVAS, strokes=[[[60, 200, 120 + number], [60, 60, 220]]])
    return service.create_submission(actor=Actor(visitor="a" * 32), payload=payload, wait=True, timeout=2)


def read_by_dead_consumer(site: Site, *submissions: Submission) -> None:
    """Enqueue submissions and read them as a worker that is killed before it writes."""
    streams.create_groups(site.redis())
    # In one transaction, before a live worker can read them.
    pipe = site.redis().pipeline(transaction=True)
    for submission in submissions:
        pipe.xadd(SUBMISSIONS, {"id": submission.pk, "reply_to": "replies:dead"})
    pipe.xreadgroup(GROUP, "dead", {SUBMISSIONS: ">"}, count=100)
    assert len(dict(pipe.execute()[-1])[SUBMISSIONS.encode()]) == len(submissions)


@pytest.fixture
def site_with_worker(site: Site) -> Iterator[Site]:
    site.start_redis()
    site.start_worker()
    with site.entered():
        wait_until(streams.consumer_alive)
        yield site


def test_interactive_request_sends_no_celery_message(site: Site) -> None:
    site.start_redis()
    with site.entered():
        draw()
        assert not site.redis(redis_urls.BROKER).keys("predictions*")
        assert site.redis().xlen(SUBMISSIONS) == 1


def test_entry_is_deleted_after_its_prediction(site_with_worker: Site) -> None:
    assert predict(make_submission(pixels=some_pixels()))
    assert site_with_worker.redis().xlen(SUBMISSIONS) == 0
    assert site_with_worker.redis().xpending(SUBMISSIONS, GROUP)["pending"] == 0


def longest_wait(edges: int, per_edge: int) -> float:
    """Enqueue submissions at about the time at which the consumer's blocking read ends; return the longest wait."""
    longest = 0.0
    for _ in range(edges):
        time.sleep(redis_client.MAX_BLOCK_SECONDS - 0.01)  # the test needs the end of this interval
        submissions = make_submissions(per_edge)
        waiting = [(submission, request_predictions(submission), time.monotonic()) for submission in submissions]
        for submission, reply_to, started in waiting:
            producer.wait([submission], reply_to=reply_to, timeout=10)
            assert submission.state == SubmissionState.PREDICTED
            longest = max(longest, time.monotonic() - started)
    return longest


def test_submissions_around_idle_edges_are_predicted(site_with_worker: Site) -> None:
    assert longest_wait(10, 10) < 2


@pytest.mark.acceptance
def test_3000_submissions_around_idle_edges_wait_less_than_two_seconds(site_with_worker: Site) -> None:
    assert longest_wait(200, 15) < 2


@pytest.mark.parametrize("loss", ["flushall", "delete"])
def test_lost_stream_is_created_again_while_the_consumer_waits(loss: str, site_with_worker: Site) -> None:
    redis = site_with_worker.redis()
    redis.flushall() if loss == "flushall" else redis.delete(SUBMISSIONS)
    assert predict(make_submission(pixels=some_pixels()))


def test_entries_from_before_the_first_worker_are_read(site: Site) -> None:
    site.start_redis()
    with site.entered():
        make_submissions(3)
        producer.enqueue(list(Submission.objects.values_list("pk", flat=True)))
        site.start_worker()
        wait_until(lambda: not pending_count())


def test_entries_of_dead_consumer_are_claimed_under_constant_load(site_with_worker: Site) -> None:
    lost = make_submissions(5)
    read_by_dead_consumer(site_with_worker, *lost)
    read = time.monotonic()
    is_done = threading.Event()

    def send_all_the_time() -> None:
        while not is_done.is_set():
            request_predictions(*make_submissions(5))

    sender = threading.Thread(target=send_all_the_time)
    sender.start()
    try:
        lost_ids = [row.pk for row in lost]
        waiting = Submission.objects.filter(pk__in=lost_ids, state=SubmissionState.PENDING)
        wait_until(lambda: not waiting.exists(), seconds=20, event="the predictions of the claimed entries")
        assert time.monotonic() - read < 10
    finally:
        is_done.set()
        sender.join()


def test_claimed_entry_of_predicted_row_gets_an_empty_reply(site_with_worker: Site) -> None:
    """As after a worker that was killed between its transaction and the reply."""
    submission = make_submission(pixels=some_pixels())
    assert predict(submission)
    read_by_dead_consumer(site_with_worker, submission)
    redis = site_with_worker.redis()
    wait_until(lambda: redis.llen("replies:dead"), event="the reply to the claimed entry")
    assert redis.lindex("replies:dead", 0) == b"%d " % submission.pk
    assert Prediction.objects.count() == 1
    submission.refresh_from_db()
    assert submission.attempts == 0


@pytest.mark.both_databases(short="sqlite")
def test_entries_that_a_frozen_worker_has_read_are_predicted_once(site: Site) -> None:
    site.start_redis()
    frozen = site.start_worker()
    with site.entered():
        wait_until(streams.consumer_alive)
        frozen.freeze()
        request_predictions(*make_submissions(5))
        wait_until(lambda: site.redis().xpending(SUBMISSIONS, GROUP)["pending"], event="the read of the frozen worker")
        site.start_worker()
        wait_until(lambda: not pending_count())
        frozen.thaw()
        wait_until(lambda: site.redis().zcard(CONSUMERS) == 2, event="the next heartbeat of the frozen worker")
        wait_until(lambda: not site.redis().xlen(SUBMISSIONS))
        assert predict(make_submission(pixels=some_pixels()))
        assert Prediction.objects.count() == 6


def test_reconnection_to_the_broker_starts_no_second_consumer(site_with_worker: Site) -> None:
    redis, worker = site_with_worker.parts
    redis.kill()
    worker.wait_for_words("Connection to broker lost")
    site_with_worker.start_redis()
    worker.wait_for_words("prediction queue unavailable")
    wait_until(lambda: predict(make_submission(pixels=some_pixels())), event="a prediction after the reconnection")
    # The main thread and the consumer have loaded the model.
    assert worker.output.count("serving model version") == 2


def test_unreadable_entries_are_skipped(site_with_worker: Site) -> None:
    site_with_worker.redis().xadd(SUBMISSIONS, {"id": "not a number", "reply_to": ""})
    site_with_worker.redis().xadd(streams.PREVIEWS, {"of": "another release"})
    assert predict(make_submission(pixels=some_pixels()))
    wait_until(lambda: not site_with_worker.redis().xlen(SUBMISSIONS))
    wait_until(lambda: not site_with_worker.redis().xlen(streams.PREVIEWS))


def test_consumer_that_fails_ends_its_process(site: Site) -> None:
    site.start_redis()
    worker = site.start_worker(mortal=True)
    with site.entered():
        request_predictions(make_submission(pixels=bytes([EXITING_PIXEL]) + some_pixels()[1:]))
        wait_until(lambda: not worker.is_running, event="the end of the worker")
        assert worker.exit_status == 1
        assert "prediction_consumer_failed" in worker.output


def test_sigterm_finishes_the_batch_and_deregisters_the_worker(site_with_worker: Site) -> None:
    worker = site_with_worker.parts[-1]
    submissions = make_submissions(200)
    request_predictions(*submissions)
    assert worker.terminate() < 4
    assert worker.exit_status == 0
    redis = site_with_worker.redis()
    assert redis.xpending(SUBMISSIONS, GROUP)["pending"] == 0
    assert redis.xlen(SUBMISSIONS) == pending_count()  # what was not read waits for the next worker
    assert not redis.zcard(CONSUMERS)
    assert redis.xinfo_consumers(SUBMISSIONS, GROUP) == []


def test_dead_consumers_are_deleted_unless_they_have_entries(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.start_redis()
    with site.entered():
        redis = site.redis()
        streams.create_groups(redis)
        redis.xgroup_createconsumer(SUBMISSIONS, GROUP, "ended")
        read_by_dead_consumer(site, make_submission(pixels=some_pixels()))
        monkeypatch.setattr(streams, "DEAD_CONSUMER_SECONDS", -1)
        streams.delete_dead_consumers(redis)
        assert [consumer["name"] for consumer in redis.xinfo_consumers(SUBMISSIONS, GROUP)] == [b"dead"]


@pytest.mark.both_databases(short="sqlite")
def test_two_workers_share_long_queue_without_duplicates(make_site) -> None:
    site = make_site(PREDICTION_BATCH="8")
    site.start_redis()
    for _ in range(2):
        site.start_worker()
    with site.entered():
        wait_until(lambda: site.redis().zcard(CONSUMERS) == 2)
        request_predictions(*make_submissions(300))
        wait_until(lambda: not pending_count())
        assert Prediction.objects.count() == 300
        assert Prediction.objects.values("submission").distinct().count() == 300
    assert all("predicted" in part.output for part in site.parts if part.name == "worker")


# --- What no request waits for -------------------------------------------------------------------------------------


def wait_for_predictions(count: int) -> None:
    wait_until(lambda: not pending_count(), event="the last prediction")
    assert Prediction.objects.count() == count


def test_submissions_that_no_request_waits_for_are_predicted_by_a_task(site_with_worker: Site) -> None:
    producer.predict_later([row.pk for row in make_submissions(150)])
    assert not site_with_worker.redis().xlen(SUBMISSIONS)
    wait_for_predictions(150)


def test_site_without_consumer_predicts_everything_by_tasks(make_site) -> None:
    site = make_site(PREDICTION_CONSUMER="0", RECOVERY_INTERVAL_SECONDS="0.5")
    site.start_redis()
    site.start_worker()
    site.start_default_worker()
    with site.entered():
        for number in range(5):
            assert draw(number).state == SubmissionState.PENDING
        lost = make_submissions(1)  # as after a crash between commit and enqueue
        Submission.objects.filter(pk=lost[0].pk).update(created="2020-01-01T00:00Z")
        wait_for_predictions(6)
        assert not site.redis().xlen(SUBMISSIONS)
        assert liveness.stalled_queues() == []


def test_task_yields_to_a_stream_that_is_not_empty(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.start_redis()
    monkeypatch.setattr(background, "MAX_YIELD_SECONDS", 60)
    looked = threading.Semaphore(0)
    queue_length = streams.queue_length
    monkeypatch.setattr(streams, "queue_length", lambda client: looked.release() or queue_length(client))

    def run_task(pk: int) -> None:
        background.predict_submissions([pk], producer.Mode.NEW)
        connection.close()

    with site.entered():
        first, later = make_submissions(2)
        request_predictions(first)
        task = threading.Thread(target=run_task, args=(later.pk,))
        task.start()
        for _ in range(3):
            assert looked.acquire(timeout=20)
        assert not Prediction.objects.exists()
        site.redis().delete(SUBMISSIONS)
        task.join(20)
        assert Prediction.objects.get().submission_id == later.pk


def test_stream_that_is_never_empty_does_not_stop_a_task(site: Site) -> None:
    site.start_redis()
    with site.entered():
        first, later = make_submissions(2)
        request_predictions(first)
        background.predict_submissions([later.pk], producer.Mode.NEW)
        assert Prediction.objects.get().submission_id == later.pk


def test_sigterm_does_not_wait_for_a_long_backlog_of_tasks(site_with_worker: Site) -> None:
    worker: Part = site_with_worker.parts[-1]
    submissions = make_submissions(2000)
    producer.predict_later([row.pk for row in submissions])
    wait_until(Prediction.objects.exists)
    assert worker.terminate() < 4
    assert pending_count()


def test_backlog_does_not_grow_with_each_recovery(site: Site) -> None:
    site.start_redis()
    with site.entered():
        make_submissions(200)
        Submission.objects.update(created="2020-01-01T00:00Z")
        assert recovery.recover_submissions() == 200
        assert recovery.recover_submissions() == 0
        assert site.redis(redis_urls.BROKER).llen("predictions") == 4


def test_recovery_leaves_entries_of_the_stream_to_the_consumer(site: Site) -> None:
    site.start_redis()
    with site.entered():
        in_stream, read, lost = make_submissions(3)
        Submission.objects.update(created="2020-01-01T00:00Z")
        read_by_dead_consumer(site, read)
        request_predictions(in_stream)
        now, _ = site.redis().time()
        site.redis().zadd(CONSUMERS, {"alive": now + 4})
        assert recovery.recover_submissions() == 1
        site.start_worker()
        wait_for_predictions(3)
        lost.refresh_from_db()
        assert lost.attempts == 1


def test_submissions_of_a_web_process_of_release_0_9_0_are_predicted(site_with_worker: Site) -> None:
    """It pushes ids to a list, holds a lease, and sends a message that starts a worker session."""
    from celery import current_app

    redis = site_with_worker.redis()
    first, second = make_submissions(2)
    redis.rpush("queue", f"{first.pk} replies:old", f"{second.pk}")
    redis.zadd("shifts", {"token": redis.time()[0] + 2})
    current_app.send_task("recognizer.tasks.serve_shift", ("token",), retry=False)
    wait_for_predictions(2)
    wait_until(lambda: redis.llen("replies:old"), event="the reply to the waiting process")
    assert redis.lindex("replies:old", 0).startswith(b"%d [" % first.pk)
    assert not redis.exists("queue", "shifts")
