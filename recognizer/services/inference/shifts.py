"""Worker session: one long-running Celery task that drains the queue, amortizing Celery's overhead per task."""

import logging
import time
from collections.abc import Callable

import numpy as np
import redis
from django.conf import settings

from recognizer.services.registry import versions

from . import batch_prediction, recovery
from .handoff.serving import POP_SECONDS, Batch, ShiftLease

log = logging.getLogger(__name__)

# Wait for the queue before lost rows are looked up: yields the CPU to the web threads that have just been woken.
YIELD_SECONDS = 0.02


def serve(token: str, *, worker: str, should_stop: Callable[[], bool]) -> int:
    """Drain the queue until it was idle for `WORKER_IDLE_SECONDS`, or for about `WORKER_SESSION_SECONDS`.

    Args:
        token: The lease that was created for this session.
        worker: Name of the worker, whose heartbeat the session renews while the worker's main loop is blocked.
        should_stop: Checked between batches; if true, the session transfers its lease to a successor and ends.

    Returns:
        The number of submissions that were predicted or have failed.
    """
    lease = ShiftLease(token, worker)
    try:
        if not lease.begin():
            return 0
        try:
            return _serve(lease, should_stop)
        except BaseException:
            lease.drop()
            raise
    except redis.RedisError as error:
        log.warning("worker session ended early: redis error: %s", error)
        return 0


def _serve(lease: ShiftLease, should_stop: Callable[[], bool]) -> int:
    served = 0
    started = last_work = time.monotonic()
    looked_for_lost_at = float("-inf")
    look_for_lost, is_first = False, True
    # A late message, for which no request waits any more, must not occupy the worker for long.
    idle_seconds = settings.WORKER_IDLE_SECONDS if lease.wanted else 0.0
    lost: dict[int, bytes] = {}
    while True:
        timeout = YIELD_SECONDS if look_for_lost else min(POP_SECONDS, idle_seconds)
        batch = lease.pop(0 if lost or is_first else timeout)
        answers = batch_prediction.predict_batch(batch.ids) if batch.asked else {}
        _answer_previews(lease, batch)
        lease.answer(batch, answers)
        lost = {}
        if look_for_lost:
            lost = recovery.predict_lost()
            lease.count(lost)
            looked_for_lost_at = time.monotonic()
        served += len(lost) + len(answers)

        now = time.monotonic()
        if batch or lost:
            last_work = now
        # The first batch is for the request that started the session. One batch of lost rows follows, since they are
        # older than the rest of the queue; the other lost rows follow when the queue is empty. In a backlog the oldest
        # rows are in the queue as well, and two workers would predict them twice.
        is_idle = not batch and (bool(lost) or now - looked_for_lost_at >= recovery.LOST_AFTER_SECONDS)
        look_for_lost, is_first = is_first or is_idle, False
        if should_stop():
            lease.hand_over(always=False)
            return served
        if now - started >= settings.WORKER_SESSION_SECONDS:
            # While there is traffic the next session follows at once, so that no request has to start it.
            lease.hand_over(always=now - last_work < settings.WORKER_IDLE_SECONDS)
            return served
        if now - last_work >= idle_seconds and not look_for_lost and lease.end():
            return served


def _answer_previews(lease: ShiftLease, batch: Batch) -> None:
    if batch.previews:
        _, classifier = versions.live_classifier.current()
        pixels = np.stack([request.pixels for request in batch.previews])
        answers = classifier.answer(pixels, [request.ink for request in batch.previews])
        lease.answer_previews(list(zip(batch.previews, answers, strict=True)))
