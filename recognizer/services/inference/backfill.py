"""After a change of the live version: recent and doubtful submissions are predicted again, in the background.

History then shows what each version said of them side by side, and the review queue asks about what is doubtful now.
"""

from __future__ import annotations

import logging
import time

import redis
from django.db.models import QuerySet

from recognizer.models import Submission, SubmissionState, TruthState
from recognizer.services.registry import versions

from . import handoff

log = logging.getLogger(__name__)

# The newest submissions, and the most doubtful ones of them all.
NEWEST_COUNT, DOUBTFUL_COUNT = 1_000, 1_000
BATCH = 32
# Longest time in one go; the next comes with the next beat.
SECONDS = 5.0
# Between two batches, so that the database and the processor are free for others most of the time.
PAUSE = 0.02


def remaining() -> QuerySet[Submission]:
    """Recent and doubtful submissions whose latest answer is of another version than the live one."""
    answered = Submission.objects.filter(state=SubmissionState.PREDICTED)
    newest = answered.order_by("-id").values("pk")[:NEWEST_COUNT]
    doubtful = answered.filter(truth_state=TruthState.NONE).order_by("-doubt", "-id").values("pk")[:DOUBTFUL_COUNT]
    number = versions.live_version().number
    chosen = Submission.objects.filter(pk__in=newest) | Submission.objects.filter(pk__in=doubtful)
    return chosen.exclude(answered_by=number)


def run_backfill(seconds: float = SECONDS) -> int:
    """Predict some of what waits again; stop as soon as somebody waits for an answer. Returns how many."""
    ids = list(remaining().order_by("-id").values_list("pk", flat=True))
    if not ids:
        return 0
    from . import batch_prediction  # here: the default worker loads the model only when it needs it

    done, end = 0, time.monotonic() + seconds
    for start in range(0, len(ids), BATCH):
        if time.monotonic() > end or _somebody_waits():
            break
        done += batch_prediction.predict_again(ids[start : start + BATCH])
        time.sleep(PAUSE)
    log.info("%s of %s submissions were predicted again", done, len(ids))
    return done


def _somebody_waits() -> bool:
    try:
        return handoff.link().queue_length() > 0
    except (redis.RedisError, OSError):
        return False  # nobody is served through a Redis that is away
