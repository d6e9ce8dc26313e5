"""Producer side of the prediction queue: enqueue submissions and previews, and wait for their results.

Redis errors are logged and not raised: the submission is committed, its pending row is authoritative, and `recovery`
predicts rows that stay pending too long.
"""

from __future__ import annotations

import json
import secrets
import time
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from celery import current_app
from django.conf import settings

from recognizer.models import Submission, SubmissionState
from recognizer.services.lib.fair_slots import FairSlots
from recognizer.services.lib.redis_client import max_block_seconds, redis_or_none

from . import result_messages, streams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    import redis

    # These load NumPy and OpenCV, which the default worker does not need.
    from ml.preprocessing import Prepared
    from ml.serving.verdicts import Answer

PREDICT_TASK = "recognizer.tasks.predict_submissions"
# Submissions in one Celery task.
TASK_SIZE = 64
# Maximum length of the stream of previews; with more, the worker is too busy for previews.
MAX_PREVIEWS = 32
# A batch of 100 images gets its results in one round trip.
MAX_POPPED_REPLIES = 100


class Mode(StrEnum):
    """Reason for a Celery task `predict_submissions`."""

    NEW = "new"
    RECOVERY = "recovery"
    BACKFILL = "backfill"


def new_reply_list() -> str:
    """Return the name of a new reply list, for requests that wait together."""
    return f"replies:{secrets.token_hex(8)}"


def enqueue(ids: Sequence[int], *, reply_to: str = "") -> None:
    """Enqueue submissions. Call this after their rows are committed.

    Args:
        ids: Primary keys of pending submissions.
        reply_to: Name of the reply list on which a request waits for the results, or "".
    """
    if not settings.PREDICTION_CONSUMER:
        predict_later(ids)
        return
    with redis_or_none("submissions not enqueued, left to recovery") as client:
        if client is not None:
            # In one transaction: otherwise a waiting worker would read the first entry alone.
            pipe = client.pipeline(transaction=len(ids) > 1)
            for pk in ids:
                pipe.xadd(streams.SUBMISSIONS, {"id": pk, "reply_to": reply_to})
            pipe.execute()


def predict_later(ids: Sequence[int], *, mode: Mode = Mode.NEW) -> None:
    """Have submissions predicted by Celery tasks: no request waits for them.

    Args:
        ids: Primary keys of submissions.
        mode: Why they are predicted.
    """
    with redis_or_none("submissions not enqueued, left to recovery") as client:
        if client is not None:  # the broker is on the same server
            for start in range(0, len(ids), TASK_SIZE):
                current_app.send_task(PREDICT_TASK, (list(ids[start : start + TASK_SIZE]), mode), retry=False)


def message_count(queue: str) -> int:
    """Return the number of messages that wait in a Celery queue.

    Raises:
        redis.RedisError, kombu.exceptions.OperationalError: The broker is unavailable.
    """
    with current_app.pool.acquire(block=True, timeout=1) as broker:
        # The stubs of Celery take this pool of connections for one of producers.
        return int(broker.default_channel.client.llen(queue))  # type: ignore[attr-defined]


def wait_slots(callers: Sequence[str]) -> AbstractContextManager[list[bool]]:
    """Hold a wait slot for each request whose caller has one left; each waiting request occupies a thread.

    Args:
        callers: The `Actor.caller_key` of each request.

    Returns:
        A context manager that yields, for each request, whether it got a slot.
    """
    return waiting_requests(settings.MAX_WAITING_REQUESTS).slots(callers)


@cache
def waiting_requests(size: int) -> FairSlots:
    """Return the pool of wait slots of this process."""
    return FairSlots(size)


def wait(submissions: Sequence[Submission], *, reply_to: str, timeout: float) -> None:
    """Wait for the results of submissions that were enqueued with this reply list.

    Returns immediately if no worker's heartbeat is current. Submissions without a result are read from the database
    once more at the end.

    Args:
        submissions: Their `state`, `failure`, `doubt` and `latest_prediction` are updated.
        reply_to: Name of the reply list.
        timeout: Seconds, limited to `PREDICTION_WAIT_SECONDS`.
    """
    waiting = {submission.pk: submission for submission in submissions if submission.state == SubmissionState.PENDING}
    if not waiting or not streams.consumer_alive():
        return
    unread: list[Submission] = []
    deadline = time.monotonic() + min(timeout, settings.PREDICTION_WAIT_SECONDS)
    with redis_or_none("waiting for predictions failed") as client:
        while client is not None and waiting and (items := _pop_replies(client, reply_to, deadline)):
            for item in items:
                pk, _, result = item.partition(b" ")
                submission = waiting.pop(int(pk), None)
                if submission is not None and result:
                    result_messages.apply_result(submission, result)
                elif submission is not None:  # it was predicted before: an empty reply says so
                    unread.append(submission)
    if unread or waiting:
        result_messages.refresh_from_database([*unread, *waiting.values()])


def wait_in_slot(submissions: Sequence[Submission], *, reply_to: str, timeout: float, caller: str) -> None:
    """Wait as `wait` does, unless the caller has no wait slot left.

    Args:
        submissions: As in `wait`.
        reply_to: As in `wait`.
        timeout: As in `wait`.
        caller: The key of the caller (`Actor.caller_key`).
    """
    with wait_slots([caller]) as granted:
        if all(granted):
            wait(submissions, reply_to=reply_to, timeout=timeout)


def enqueue_and_wait(submissions: Sequence[Submission], *, timeout: float, caller: str) -> None:
    """Wait for the results of submissions that were stored earlier, by this process or another one.

    Those that are still pending are enqueued again, with a reply list of their own. This takes one wait slot; without a
    free one, this returns immediately.

    Args:
        submissions: As in `wait`.
        timeout: As in `wait`.
        caller: The key of the caller (`Actor.caller_key`).
    """
    pending = [submission for submission in submissions if submission.state == SubmissionState.PENDING]
    if timeout <= 0 or not pending:
        return
    with wait_slots([caller]) as granted:
        if all(granted) and streams.consumer_alive():
            result_messages.refresh_from_database(pending)
            reply_to = new_reply_list()
            ids = [submission.pk for submission in pending if submission.state == SubmissionState.PENDING]
            enqueue(ids, reply_to=reply_to)
            wait(pending, reply_to=reply_to, timeout=timeout)


def preview(prepared: Prepared, *, timeout: float) -> Answer | None:
    """Predict an image that is not stored, with the live model.

    Submissions have priority; a preview that waited for `timeout` is dropped.

    Args:
        prepared: The preprocessed image.
        timeout: Seconds.

    Returns:
        The prediction, or None if the worker is busy or unavailable.
    """
    if not streams.consumer_alive():
        return None
    reply_to = new_reply_list()
    with redis_or_none("preview dropped") as client:
        if client is None:
            return None
        further_pixels, further_ink = prepared.encoded_alternatives
        entry: dict[Any, Any] = {
            "reply_to": reply_to,
            "timeout": timeout,
            "pixels": prepared.pixels.tobytes(),
            "ink": json.dumps(prepared.ink),
            "further_pixels": further_pixels,
            "further_ink": json.dumps(further_ink),
        }
        client.xadd(streams.PREVIEWS, entry, maxlen=MAX_PREVIEWS, approximate=False)
        for item in _pop_replies(client, reply_to, time.monotonic() + timeout):
            return _decode_answer(json.loads(item))
    return None


def _pop_replies(client: redis.Redis, reply_to: str, deadline: float) -> Sequence[bytes]:
    """Pop replies as soon as there are any; none at the deadline."""
    while (left := deadline - time.monotonic()) > 0:
        # A timeout of 0 would block indefinitely.
        seconds = max(0.001, min(left, max_block_seconds()))
        popped: Any = client.blmpop(seconds, 1, reply_to, direction="LEFT", count=MAX_POPPED_REPLIES)
        if popped:
            items: Sequence[bytes] = popped[1]
            return items
    return ()


def _decode_answer(content: dict[str, Any]) -> Answer:
    from ml.serving.verdicts import Answer, Verdict

    return Answer(
        **content | {"probabilities": tuple(content["probabilities"]), "verdict": Verdict(content["verdict"])},
    )
