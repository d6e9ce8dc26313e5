"""A shift: one Celery task in which a worker serves the hand-off list, so that Celery's price is paid once a shift."""

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

# Before it looks for lost rows a shift waits a moment for the list: whoever was just answered shall have the processor.
BREATH_SECONDS = 0.02


def serve(token: str, *, worker: str, should_stop: Callable[[], bool]) -> int:
    """Serve the list until nothing came for `SHIFT_IDLE_SECONDS`, or for about `SHIFT_SECONDS`.

    Args:
        token: the lease that was made for this shift.
        worker: whose heartbeat the shift renews while the worker's main loop cannot.
        should_stop: asked between batches; when true, the shift hands over to whoever comes.

    Returns:
        How many submissions were answered.
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
        log.warning("a shift ends early, Redis failed: %s", error)
        return 0


def _serve(lease: ShiftLease, should_stop: Callable[[], bool]) -> int:
    served = 0
    started = last_work = time.monotonic()
    looked_for_lost_at = float("-inf")
    look_for_lost, is_first = False, True
    # A message that comes late, when nobody waits for it any more, shall not hold the worker for long.
    idle_seconds = settings.SHIFT_IDLE_SECONDS if lease.wanted else 0.0
    lost: dict[int, bytes] = {}
    while True:
        patience = BREATH_SECONDS if look_for_lost else min(POP_SECONDS, idle_seconds)
        batch = lease.pop(0 if lost or is_first else patience)
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
        # Whoever called for the shift is waiting, so lost rows come second. They are older than the list, so a batch of
        # them goes before the rest of it, and the others when it is empty: in a backlog the oldest rows are on the list
        # as well, and two workers would do the same work twice.
        nothing_else = not batch and (bool(lost) or now - looked_for_lost_at >= recovery.LOST_AFTER_SECONDS)
        look_for_lost, is_first = is_first or nothing_else, False
        if should_stop():
            lease.hand_over(always=False)
            return served
        if now - started >= settings.SHIFT_SECONDS:
            # While people draw, the next shift follows at once: no request has to pay for calling it.
            lease.hand_over(always=now - last_work < settings.SHIFT_IDLE_SECONDS)
            return served
        if now - last_work >= idle_seconds and not look_for_lost and lease.end():
            return served


def _answer_previews(lease: ShiftLease, batch: Batch) -> None:
    if batch.previews:
        _, classifier = versions.live_classifier.current()
        pixels = np.stack([request.pixels for request in batch.previews])
        answers = classifier.answer(pixels, [request.ink for request in batch.previews])
        lease.answer_previews(list(zip(batch.previews, answers, strict=True)))
