"""What was pushed and then lost: pending rows that are older than any hand-off takes.

A crash between commit and push, a flushed Redis, a worker killed between pop and write: the row stays pending, and a
shift finds it here. `attempts` counts these tries, so that a picture that kills the worker is given up in the end.
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from recognizer.models import Submission, SubmissionState

from . import handoff

log = logging.getLogger(__name__)

# A row pending for longer than this was lost, or waits in a long queue: served twice, it is answered once.
LOST_AFTER_SECONDS = 5.0
# Tries in company before a row is tried alone, and tries altogether before it is given up.
MAX_BATCH_ATTEMPTS, MAX_ATTEMPTS = 2, 4


def lost_submissions() -> QuerySet[Submission]:
    """Submissions that are pending and should not be any more; also those of before the clock was set back."""
    now, patience = timezone.now(), timedelta(seconds=LOST_AFTER_SECONDS)
    is_late = Q(created__lt=now - patience) | Q(created__gt=now + patience)
    return Submission.objects.filter(is_late, state=SubmissionState.PENDING)


def requeue_lost() -> bool:
    """Call a worker if there are lost submissions. Their ids are not pushed again: in a backlog that would multiply
    the list; the shift reads them from the database."""
    if not lost_submissions().exists():
        return False
    handoff.ring()
    return True


def predict_lost() -> dict[int, bytes]:
    """Answer one batch of lost submissions, the oldest first, or one that must be tried alone.

    Returns:
        The messages for whoever may still wait; empty when nothing is lost.

    Raises:
        DatabaseError, BundleError, RegistryError: the site cannot answer now; nothing was counted as a try.
    """
    from recognizer.services.registry import (
        versions,  # here: the default worker, which only sweeps, does without the model
    )

    from . import batch_prediction

    lost = lost_submissions()
    in_company = lost.filter(attempts__lt=MAX_BATCH_ATTEMPTS).order_by("created")
    ids = list(in_company.values_list("pk", flat=True)[: settings.PREDICTION_BATCH])
    if not ids:
        # The least tried first: a picture that kills the worker shall not keep the others from their turn.
        alone = lost.order_by("attempts", "created").values_list("pk", "attempts").first()
        if alone is None:
            return {}
        pk, attempts = alone
        ids = [pk]
        if attempts >= MAX_ATTEMPTS:
            log.error("submission %s is given up: the worker died over it", pk)
            return batch_prediction.mark_failed(
                ids, f"The worker stopped each of the {attempts} times it tried this picture."
            )
    versions.live_classifier.current()  # without a model nobody can be blamed
    Submission.objects.filter(pk__in=ids).update(attempts=F("attempts") + 1)
    log.info("serving %s lost submissions", len(ids))
    return batch_prediction.predict_batch(ids)
