"""Recovery of submissions that were stored but never predicted: rows still pending after LOST_AFTER_SECONDS.

A crash between commit and push, a flushed Redis or a worker killed between pop and write leaves the row pending.
`attempts` counts the recoveries of a row, so that an image that crashes the worker is marked as failed in the end.
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from recognizer.models import Submission, SubmissionState

from . import handoff

log = logging.getLogger(__name__)

# A row that is pending for longer was lost, or waits in a long queue. In the latter case it is popped twice and
# predicted once.
LOST_AFTER_SECONDS = 5.0
# Attempts in a batch before a row is tried alone, and attempts in all before it is marked as failed.
MAX_BATCH_ATTEMPTS, MAX_ATTEMPTS = 2, 4


def lost_submissions() -> QuerySet[Submission]:
    """Return submissions that have been pending for too long.

    Creation times in the future count too: they are from before the clock was set back.
    """
    now, timeout = timezone.now(), timedelta(seconds=LOST_AFTER_SECONDS)
    is_overdue = Q(created__lt=now - timeout) | Q(created__gt=now + timeout)
    return Submission.objects.filter(is_overdue, state=SubmissionState.PENDING)


def notify_if_lost() -> bool:
    """Wake a worker if there are lost submissions.

    Their ids are not pushed again, because in a backlog that would multiply the queue. The worker session reads them
    from the database.

    Returns:
        Whether there are lost submissions.
    """
    if not lost_submissions().exists():
        return False
    handoff.ring()
    return True


def predict_lost() -> dict[int, bytes]:
    """Predict one batch of lost submissions, the oldest first, or a single one that must be tried alone.

    Returns:
        By submission id, the message for `answers.take`; empty if nothing is lost.

    Raises:
        DatabaseError: The database is unavailable; no attempt was counted. The same holds for the next two.
        BundleError: The files of the live model are missing or damaged.
        RegistryError: No model is live.
    """
    # Imported here because the default worker, which calls `requeue_lost` only, does not load the model.
    from recognizer.services.registry import versions

    from . import batch_prediction

    lost = lost_submissions()
    batchable = lost.filter(attempts__lt=MAX_BATCH_ATTEMPTS).order_by("created")
    ids = list(batchable.values_list("pk", flat=True)[: settings.PREDICTION_BATCH])
    if not ids:
        # Fewest attempts first, so that an image that crashes the worker does not block the others.
        single = lost.order_by("attempts", "created").values_list("pk", "attempts").first()
        if single is None:
            return {}
        pk, attempts = single
        ids = [pk]
        if attempts >= MAX_ATTEMPTS:
            log.error("submission %s failed: the worker stopped in each of %s attempts", pk, attempts)
            return batch_prediction.mark_failed(
                ids, f"The worker stopped each of the {attempts} times it tried this picture."
            )
    # Fail early if no model can be loaded, so that no attempt is counted against these submissions.
    versions.live_classifier.current()
    Submission.objects.filter(pk__in=ids).update(attempts=F("attempts") + 1)
    log.info("recovering %s lost submissions", len(ids))
    return batch_prediction.predict_batch(ids)
