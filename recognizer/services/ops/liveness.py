"""Liveness probes for Celery workers: a canary task per queue and minute shows whether its worker still consumes.

A worker can be connected and consume nothing: it hangs, or its consumer stopped after a Redis outage, a known fault of
Celery with Redis. Therefore a canary task is sent through each queue every LIVENESS_INTERVAL_SECONDS. Prediction
workers also send a heartbeat from the thread that consumes the stream.

The canary task calls `record_probe`, and /readyz reports `stalled_queues`. The supervisor of `make run` restarts
workers that are stalled for long.
"""

import logging
import math
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from recognizer.models import RunState, TrainingRun
from recognizer.services.inference import recovery, streams
from recognizer.services.lib.redis_client import redis_client, redis_or_none

log = logging.getLogger(__name__)

PREDICTIONS, DEFAULT, TRAIN = "predictions", "default", "train"
# Redis hash, queue -> Redis's time in seconds at which its last canary was consumed.
PROBES_KEY = "canaries"
# Stall timeout in canary intervals: a canary may be late, and may wait behind a long task.
STALLED_AFTER = 2.5
# Probe times in the future by no more than this are clock corrections.
CLOCK_TOLERANCE_SECONDS = 2


def record_probe(queue: str) -> None:
    """Record that a worker of `queue` consumes messages."""
    with redis_or_none("liveness probe not recorded") as client:
        if client is not None:
            seconds, _ = client.time()
            client.hset(PROBES_KEY, queue, str(seconds))


def last_seen() -> dict[str, float]:
    """Return the seconds since a worker of each queue last consumed a canary.

    Queues whose canary was never consumed are left out. The value is infinite if the clock was set back since.

    Raises:
        redis.RedisError: Redis is unavailable.
    """
    client = redis_client()
    seconds, _ = client.time()
    probes: dict[bytes, bytes] = client.hgetall(PROBES_KEY)  # type: ignore[assignment]  # responses are not decoded
    return {queue.decode(): _age(seconds, probed_at) for queue, probed_at in probes.items()}


def _age(now: int, probed_at: bytes | int) -> float:
    age = float(now - int(probed_at))
    return age if age > -CLOCK_TOLERANCE_SECONDS else math.inf


def stall_timeout() -> float:
    """Return the seconds without a consumed canary after which a worker is considered stalled."""
    return float(settings.LIVENESS_INTERVAL_SECONDS * STALLED_AFTER)


def stalled_queues() -> list[str]:
    """Return the queues that have work waiting and whose worker has stopped consuming.

    Empty if Redis or the database is unavailable.
    """
    with redis_or_none("liveness of workers unavailable") as client:
        if client is not None:
            try:
                return [queue for queue, is_stalled in CHECKS.items() if is_stalled()]
            except DatabaseError as error:
                log.warning("liveness of workers unavailable: %s", error)
    return []


def _is_predictions_stalled() -> bool:
    """Return whether submissions wait and no worker reads the stream, or none runs the tasks that predict the rest."""
    if not recovery.lost_submissions().exists():
        return False
    return (settings.PREDICTION_CONSUMER and not streams.consumer_alive()) or _is_overdue(PREDICTIONS)


def _is_train_stalled() -> bool:
    """Return whether the trainer is stalled. It has work waiting only if a run is queued."""
    since = timezone.now() - timedelta(seconds=settings.LIVENESS_INTERVAL_SECONDS)
    has_waiting_run = TrainingRun.objects.filter(state=RunState.QUEUED, created__lt=since).exists()
    return has_waiting_run and _is_overdue(TRAIN)


def _is_overdue(queue: str) -> bool:
    client = redis_client()
    seconds, _ = client.time()
    # In a new or emptied Redis the timeout starts now.
    client.hsetnx(PROBES_KEY, queue, str(seconds))
    probed_at: bytes | None = client.hget(PROBES_KEY, queue)  # type: ignore[assignment]  # responses are not decoded
    return _age(seconds, probed_at or seconds) > stall_timeout()


CHECKS: dict[str, Callable[[], bool]] = {
    PREDICTIONS: _is_predictions_stalled,
    DEFAULT: partial(_is_overdue, DEFAULT),  # it always has work waiting: the next canary
    TRAIN: _is_train_stalled,
}
