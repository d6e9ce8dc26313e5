"""Who is stuck: a queue whose canary fell silent, or whose workers did while submissions wait."""

from datetime import timedelta

import pytest
from django.utils import timezone

from digitsite.testing.site import wait_until
from recognizer.models import RunState, Submission, TrainingRun
from recognizer.services.inference import handoff
from recognizer.services.inference.handoff import serving
from recognizer.services.ops import liveness
from recognizer.services.ops.liveness import DEFAULT, PREDICTIONS, PROBES_KEY, TRAIN
from tests.factories import make_submission
from tests.support.trainer import start_trainer


@pytest.fixture
def valkey(site):
    site.start_redis()
    with site.entered():
        yield site


def silence(queue: str) -> None:
    """As if its canary had been heard of for the last time three minutes ago."""
    there = handoff.link().redis
    there.hset(PROBES_KEY, queue, there.time()[0] - 180)


def test_probe_is_recorded_when_worker_consumes(valkey):
    assert liveness.last_seen() == {}
    start_trainer(valkey)  # the beat's first canary would come after a minute, were there a beat
    wait_until(lambda: TRAIN in liveness.last_seen(), seconds=10, event="the trainer's first canary")


def test_no_queue_is_stalled_without_probes_or_work(valkey):
    assert liveness.stalled_queues() == []
    silence(TRAIN)  # nothing waits for it
    assert liveness.stalled_queues() == []
    valkey.redis().flushall()
    assert liveness.stalled_queues() == []


def test_default_worker_is_stalled_until_next_probe(valkey):
    silence(DEFAULT)
    assert liveness.stalled_queues() == [DEFAULT]
    liveness.record_probe(DEFAULT)
    assert liveness.stalled_queues() == []


def test_trainer_is_stalled_only_if_run_waits(valkey):
    silence(TRAIN)
    run = TrainingRun.objects.create(trigger="person")
    assert liveness.stalled_queues() == []  # it was asked for just now
    TrainingRun.objects.update(created=timezone.now() - timedelta(minutes=5))
    assert liveness.stalled_queues() == [TRAIN]
    TrainingRun.objects.filter(pk=run.pk).update(state=RunState.RUNNING, heartbeat=timezone.now())
    assert liveness.stalled_queues() == []


def test_predictions_are_stalled_without_worker_and_with_lost_submission(valkey):
    submission = make_submission()
    assert liveness.stalled_queues() == []
    Submission.objects.update(created=timezone.now() - timedelta(minutes=1))
    assert liveness.stalled_queues() == [PREDICTIONS]
    serving.heartbeat("w")
    handoff.push([submission.pk])  # hears anew who lives
    assert liveness.stalled_queues() == []


def test_no_queue_is_stalled_without_redis(site):
    with site.entered():
        assert liveness.stalled_queues() == []
