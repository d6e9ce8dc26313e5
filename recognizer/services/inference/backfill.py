"""Backfill: predict recent and doubtful submissions again after the live model version has changed.

History then shows the predictions of both versions, and the review queue uses the doubt of the live version.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import redis

from recognizer.models import Submission, SubmissionState, TruthState
from recognizer.services.registry import versions

from . import handoff

if TYPE_CHECKING:
    from django.db.models import QuerySet

log = logging.getLogger(__name__)

# The newest submissions, and those with the highest doubt.
NEWEST_COUNT, DOUBTFUL_COUNT = 1_000, 1_000
BATCH = 32
# Longest run; the next one follows with the next beat.
MAX_RUN_SECONDS = 5.0
# Pause between two batches, so that requests get the database and the processor.
PAUSE_SECONDS = 0.02


def remaining() -> QuerySet[Submission]:
    """Return recent and doubtful submissions whose latest prediction is not of the live version."""
    predicted = Submission.objects.filter(state=SubmissionState.PREDICTED)
    newest = predicted.order_by("-id").values("pk")[:NEWEST_COUNT]
    doubtful = predicted.filter(truth_state=TruthState.NONE).order_by("-doubt", "-id").values("pk")[:DOUBTFUL_COUNT]
    number = versions.live_version().number
    selected = Submission.objects.filter(pk__in=newest) | Submission.objects.filter(pk__in=doubtful)
    return selected.exclude(answered_by=number)


def run_backfill(seconds: float = MAX_RUN_SECONDS) -> int:
    """Predict remaining submissions again until the time is up or new submissions wait in the queue.

    Args:
        seconds: Longest duration of the run.

    Returns:
        The number of predicted submissions.
    """
    ids = list(remaining().order_by("-id").values_list("pk", flat=True))
    if not ids:
        return 0
    from . import batch_prediction  # imported here so that the default worker loads the model only when needed

    done, end = 0, time.monotonic() + seconds
    for start in range(0, len(ids), BATCH):
        if time.monotonic() > end or _has_waiting_submissions():
            break
        done += batch_prediction.predict_again(ids[start : start + BATCH])
        time.sleep(PAUSE_SECONDS)
    log.info("%s of %s submissions were predicted again", done, len(ids))
    return done


def _has_waiting_submissions() -> bool:
    try:
        return handoff.link().queue_length() > 0
    except (redis.RedisError, OSError):
        return False  # without Redis there is no queue to yield to
