"""Liveness probes: queues whose worker has stopped consuming."""

import sys
from datetime import timedelta

import psutil
import pytest
from celery import current_app
from django.utils import timezone

from digitsite.testing.site import wait_until
from digitsite.testing.writers import leaning_hands
from recognizer.models import RunState, Submission, TrainingRun
from recognizer.services import training
from recognizer.services.inference import streams
from recognizer.services.lib.redis_client import redis_client
from recognizer.services.ops import liveness
from recognizer.services.ops.liveness import DEFAULT, PREDICTIONS, PROBES_KEY, TRAIN
from tests.factories import make_submission
from tests.support.labelled_rows import settle_drawings
from tests.support.trainer import start_trainer


@pytest.fixture
def valkey(site):
    site.start_redis()
    with site.entered():
        yield site


def expire_probe(queue: str) -> None:
    """Set the last probe of the queue to three minutes ago."""
    client = redis_client()
    client.hset(PROBES_KEY, queue, client.time()[0] - 180)


def test_probe_is_recorded_when_worker_consumes(valkey):
    assert liveness.last_seen() == {}
    start_trainer(valkey)  # there is no beat, which sends the canaries
    wait_until(lambda: TRAIN in liveness.last_seen(), seconds=10, event="the trainer's first canary")


def test_one_worker_consumes_its_queues_during_a_training(valkey):
    worker = valkey.start("default", [sys.executable, "-m", "digitsite.worker", "default", "train"])
    settle_drawings(leaning_hands(4, 2), 60)
    run = training.queue_run(trigger=TrainingRun.Trigger.SCHEDULE)
    wait_until(lambda: TrainingRun.objects.filter(state=RunState.RUNNING), seconds=60, event="the training")
    process = wait_until(lambda: psutil.Process(worker.pid).children(), event="the training process")[0]
    redis_client().delete(PROBES_KEY)
    for queue in (DEFAULT, TRAIN):
        current_app.send_task("recognizer.tasks.canary", (queue,), queue=queue)
    current_app.send_task("recognizer.tasks.train", (run.pk,))  # a second message for the same run
    wait_until(lambda: liveness.last_seen().keys() == {DEFAULT, TRAIN}, seconds=30, event="both canaries")
    worker.wait_for_words(f"training run {run.pk} is not queued any more")
    assert process.is_running()
    assert process.nice() == 19
    worker.ask_to_stop()
    wait_until(lambda: not process.is_running(), seconds=30, event="the end of the training process")
    wait_until(lambda: TrainingRun.objects.get().state == RunState.FAILED, event="the end of the run")
    assert TrainingRun.objects.get().reasons == ["The trainer was stopped."]


def test_no_queue_is_stalled_without_probes_or_work(valkey):
    assert liveness.stalled_queues() == []
    expire_probe(TRAIN)  # no run is queued
    assert liveness.stalled_queues() == []
    valkey.redis().flushall()
    assert liveness.stalled_queues() == []


def test_default_worker_is_stalled_until_next_probe(valkey):
    expire_probe(DEFAULT)
    assert liveness.stalled_queues() == [DEFAULT]
    liveness.record_probe(DEFAULT)
    assert liveness.stalled_queues() == []


def test_trainer_is_stalled_only_if_run_waits(valkey):
    expire_probe(TRAIN)
    run = TrainingRun.objects.create(trigger="person")
    assert liveness.stalled_queues() == []  # the run was requested just now
    TrainingRun.objects.update(created=timezone.now() - timedelta(minutes=5))
    assert liveness.stalled_queues() == [TRAIN]
    TrainingRun.objects.filter(pk=run.pk).update(state=RunState.RUNNING, heartbeat=timezone.now())
    assert liveness.stalled_queues() == []


def test_predictions_are_stalled_without_worker_and_with_lost_submission(valkey):
    make_submission()
    assert liveness.stalled_queues() == []
    Submission.objects.update(created=timezone.now() - timedelta(minutes=1))
    assert liveness.stalled_queues() == [PREDICTIONS]
    valkey.redis().zadd(streams.CONSUMERS, {"w": valkey.redis().time()[0] + 4})
    wait_until(streams.consumer_alive)  # a result less than a second old is reused
    assert liveness.stalled_queues() == []
    expire_probe(PREDICTIONS)  # its tasks are not consumed
    assert liveness.stalled_queues() == [PREDICTIONS]


def test_no_queue_is_stalled_without_redis(site):
    with site.entered():
        assert liveness.stalled_queues() == []
