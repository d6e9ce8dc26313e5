"""Recovery of submissions that were stored but never predicted: rows still pending after LOST_AFTER_SECONDS.

A crash between commit and enqueue, a flushed Redis or a lost Celery message leaves the row pending. `attempts` counts
the predictions that were started again, so that an image that crashes the worker is marked as failed in the end.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from django.db import DatabaseError
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from recognizer.models import Submission, SubmissionState
from recognizer.services.lib.redis_client import redis_or_none

from . import producer, streams
from .result_messages import Result

log = logging.getLogger(__name__)

# A row that is pending for longer was lost, or waits in the stream.
LOST_AFTER_SECONDS = 5.0
# Attempts in a batch before a row is tried alone, and attempts in all before it is marked as failed.
MAX_BATCH_ATTEMPTS, MAX_ATTEMPTS = 2, 4
# Rows that one run of the periodic task hands over.
MAX_RECOVERED = 3200


def lost_submissions() -> QuerySet[Submission]:
    """Return submissions that have been pending for too long.

    Creation times in the future count too: they are from before the clock was set back.
    """
    now, timeout = timezone.now(), timedelta(seconds=LOST_AFTER_SECONDS)
    is_overdue = Q(created__lt=now - timeout) | Q(created__gt=now + timeout)
    return Submission.objects.filter(is_overdue, state=SubmissionState.PENDING)


def recover_submissions() -> int:
    """Hand lost submissions to the Celery task `predict_submissions`.

    Submissions that wait in the stream are left to its consumers while there are any, and nothing is handed over while
    messages wait in the Celery queue: a backlog would otherwise grow with each run.

    Returns:
        The number of submissions that were handed over.
    """
    # Fewest attempts first, so that an image that crashes the worker does not block the others.
    lost = lost_submissions().order_by("attempts", "created")
    if not lost.exists():
        return 0
    ids: list[int] = []
    with redis_or_none("recovery of lost submissions postponed") as client:
        if client is not None and not producer.message_count("predictions"):
            queued = streams.queued_ids(client) if streams.consumer_alive() else set()
            ids = [pk for pk in lost.values_list("pk", flat=True).iterator() if pk not in queued][:MAX_RECOVERED]
            producer.predict_later(ids, mode=producer.Mode.RECOVERY)
    if ids:
        log.info("recovering %s lost submissions", len(ids))
    return len(ids)


def predict_recovered(ids: Sequence[int]) -> dict[int, Result]:
    """Predict submissions whose last attempt may have crashed its worker, and count this attempt before it starts.

    Args:
        ids: Primary keys of submissions.

    Returns:
        By submission id, the result of each submission that was predicted or failed here.

    Raises:
        DatabaseError: The database is unavailable; no attempt was counted. The same holds for the next two.
        BundleError: The files of the live model are missing or damaged.
        RegistryError: No model is live.
    """
    # Imported here because the default worker does not load the model.
    from . import predict

    pending = Submission.objects.filter(pk__in=ids, state=SubmissionState.PENDING)
    attempts = dict(pending.order_by("attempts").values_list("pk", "attempts"))
    batch = [pk for pk, count in attempts.items() if count < MAX_BATCH_ATTEMPTS]
    results: dict[int, Result] = {}
    for group in [batch, *([pk] for pk in attempts if pk not in batch)]:
        if group and attempts[group[0]] >= MAX_ATTEMPTS:
            log.error("submission %s failed: the worker stopped in each of %s attempts", group[0], MAX_ATTEMPTS)
            reason = f"The worker stopped each of the {MAX_ATTEMPTS} times it tried this picture."
            results |= predict.mark_failed(group, reason)
        elif group:
            Submission.objects.filter(pk__in=group).update(attempts=F("attempts") + 1)
            try:
                results |= predict.predict_batch(group)
            except predict.SITE_ERRORS:
                with suppress(DatabaseError):
                    Submission.objects.filter(pk__in=group).update(attempts=F("attempts") - 1)
                raise
    return results
