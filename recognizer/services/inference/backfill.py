"""Backfill: predict recent and doubtful submissions again after the live model version has changed.

History then shows the predictions of both versions, and the review queue uses the doubt of the live version.
"""

import logging

from django.db.models import QuerySet

from recognizer.models import Submission, SubmissionState, TruthState
from recognizer.services.lib.redis_client import redis_or_none
from recognizer.services.registry import versions

from . import producer

log = logging.getLogger(__name__)

# The newest submissions, and those with the highest doubt.
NEWEST_COUNT, DOUBTFUL_COUNT = 1_000, 1_000


def remaining() -> QuerySet[Submission]:
    """Return recent and doubtful submissions whose latest prediction is not of the live version."""
    predicted = Submission.objects.filter(state=SubmissionState.PREDICTED)
    newest = predicted.order_by("-id").values("pk")[:NEWEST_COUNT]
    doubtful = predicted.filter(truth_state=TruthState.NONE).order_by("-doubt", "-id").values("pk")[:DOUBTFUL_COUNT]
    number = versions.live_version().number
    selected = Submission.objects.filter(pk__in=newest) | Submission.objects.filter(pk__in=doubtful)
    return selected.exclude(answered_by=number)


def enqueue_remaining() -> int:
    """Hand remaining submissions to the Celery task `predict_submissions`, unless messages of the last run wait.

    Returns:
        The number of submissions that were handed over.
    """
    ids = list(remaining().order_by("-id").values_list("pk", flat=True))
    if not ids:
        return 0
    with redis_or_none("backfill postponed") as client:
        if client is not None and not producer.message_count("predictions"):
            producer.predict_later(ids, mode=producer.Mode.BACKFILL)
            log.info("%s submissions will be predicted again", len(ids))
            return len(ids)
    return 0
