"""Predictions that no request waits for, run by Celery tasks in the main thread of a prediction worker."""

import logging
import time
from collections.abc import Sequence
from typing import cast

from django.conf import settings

from recognizer.services.lib.redis_client import redis_or_none

from . import predict, producer, recovery, streams
from .counters import Counters

log = logging.getLogger(__name__)

PREDICT = {
    producer.Mode.NEW: predict.predict_batch,
    producer.Mode.RECOVERY: recovery.predict_recovered,
    producer.Mode.BACKFILL: predict.predict_again,
}
# How long a task waits for the stream to become empty: a stream that is never empty delays it, but does not stop it,
# and a worker that stops waits for its current task.
MAX_YIELD_SECONDS = 1.0
YIELD_STEP_SECONDS = 0.02
# Lists and leases of release 0.9.0 and before.
OLD_QUEUE, OLD_LEASES, MAX_POPPED = "queue", "shifts", 500


def predict_submissions(ids: Sequence[int], mode: producer.Mode) -> None:
    """Predict submissions, after those that wait in the stream.

    An error of the database or the model is logged; `recovery` and `backfill` find the rows again.

    Args:
        ids: Primary keys of submissions.
        mode: Why they are predicted.
    """
    end = time.monotonic() + MAX_YIELD_SECONDS
    while time.monotonic() < end and _has_waiting_submissions():
        time.sleep(YIELD_STEP_SECONDS)
    try:
        results = PREDICT[mode](ids)
    except predict.SITE_ERRORS as error:
        log.warning("%s submissions not predicted, left to recovery: %r", len(ids), error)
        return
    counters = Counters()
    counters.add(results.values())
    with redis_or_none("predictions not counted") as client:
        if client is not None:
            pipe = client.pipeline(transaction=False)
            counters.flush(pipe)
            pipe.execute()


def _has_waiting_submissions() -> bool:
    if not settings.PREDICTION_CONSUMER:
        return False
    with redis_or_none("stream not checked") as client:
        if client is not None:
            return streams.queue_length(client) > 0
    return False


def move_old_queue(token: str) -> None:
    """Move the submissions that a web process of an older release has enqueued to the stream, with their reply lists.

    Args:
        token: Token of the lease that this process holds. Without the lease, its next submission sends a message again.
    """
    with redis_or_none("submissions of an older release left to recovery") as client:
        if client is None:
            return
        client.zrem(OLD_LEASES, token)
        while items := client.lpop(OLD_QUEUE, MAX_POPPED):
            for item in cast("list[bytes]", items):
                pk, _, reply_to = item.decode().partition(" ")
                producer.enqueue([int(pk)], reply_to=reply_to)
