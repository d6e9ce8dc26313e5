"""Do workers still take work? A task a minute for each queue that says so, and who has fallen silent.

A worker may be there, connected and well by all that can be seen, and take nothing any more: it hangs, or its consumer
silently stopped after Redis had been away, a known fault of Celery with Redis. So a canary travels the way of all work
each LIVENESS_INTERVAL_SECONDS. Prediction workers need none: their heartbeat comes from the loop that takes the work.

`record_probe` is called by the canary's task, `stalled_queues` by /readyz; the supervisor of `make run` kills who is
stuck for long, and starts it again.
"""

import logging
import math
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from redis import RedisError

from recognizer.models import RunState, TrainingRun
from recognizer.services.inference import handoff, recovery

log = logging.getLogger(__name__)

PREDICTIONS, DEFAULT, TRAIN = "predictions", "default", "train"
# In the hand-off's Redis: queue -> when its canary was heard last, in Redis's own seconds.
PROBES_KEY = "canaries"
# A canary may wait behind one that is late, and behind a task that takes a while.
STALLED_AFTER = 2.5
# A clock is corrected by fractions of a second all the time.
CLOCK_TOLERANCE_SECONDS = 2


def record_probe(queue: str) -> None:
    """A worker of `queue` has taken a canary, so it takes work."""
    there = handoff.link().redis
    seconds, _ = there.time()
    there.hset(PROBES_KEY, queue, seconds)


def last_seen() -> dict[str, float]:
    """How many seconds ago a worker of each queue last took a canary; queues of which none ever did are left out.

    Infinitely long where the clock was set back since: such a canary proves nothing.

    Raises:
        redis.RedisError: Redis cannot be asked.
    """
    there = handoff.link().redis
    seconds, _ = there.time()
    return {queue.decode(): _age(seconds, when) for queue, when in there.hgetall(PROBES_KEY).items()}


def _age(now: int, when: bytes | int) -> float:
    age = float(now - int(when))
    return age if age > -CLOCK_TOLERANCE_SECONDS else math.inf


def stall_timeout() -> float:
    """Seconds after which a worker that takes no canary is not well."""
    return settings.LIVENESS_INTERVAL_SECONDS * STALLED_AFTER


def stalled_queues() -> list[str]:
    """Queues that nobody serves although work waits there; empty also while Redis or the database cannot tell."""
    if handoff.link().circuit.is_open():
        return []
    try:
        return [queue for queue, is_stuck in CHECKS.items() if is_stuck()]
    except (RedisError, DatabaseError) as error:
        log.warning("nobody knows whether workers are stuck: %s", error)
        return []


def _predictions() -> bool:
    return not handoff.link().worker_alive() and recovery.lost_submissions().exists()


def _default() -> bool:
    """Its work is the beat's, which is its own: the next canary is always due."""
    return _is_silent(DEFAULT)


def _train() -> bool:
    """While a run is going on, the canary waits behind it like everything else."""
    since = timezone.now() - timedelta(seconds=settings.LIVENESS_INTERVAL_SECONDS)
    waits = TrainingRun.objects.filter(state=RunState.QUEUED, created__lt=since).exists()
    return waits and _is_silent(TRAIN)


def _is_silent(queue: str) -> bool:
    there = handoff.link().redis
    seconds, _ = there.time()
    # Of a new or emptied Redis nothing can be said yet.
    there.hsetnx(PROBES_KEY, queue, seconds)
    return _age(seconds, there.hget(PROBES_KEY, queue) or seconds) > stall_timeout()


CHECKS = {PREDICTIONS: _predictions, DEFAULT: _default, TRAIN: _train}
