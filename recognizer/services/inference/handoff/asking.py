"""Producer side of the prediction queue: enqueue a submission, start a worker session, wait for the result.

Redis errors are logged and not raised: the submission is committed, its pending row is authoritative, and `recovery`
predicts rows that stay pending too long.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
import time
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import redis
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from recognizer.models import Prediction, Submission, SubmissionState
from recognizer.services.identity.actors import SYSTEM_ACTOR
from recognizer.services.inference import answers

from .connection import PREVIEWS, QUEUE, Link, link

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    # These load NumPy and OpenCV, which the default worker does not need.
    from ml.preprocessing import Prepared
    from ml.serving.classifier import Answer

log = logging.getLogger(__name__)

SHIFT_TASK = "recognizer.tasks.serve_shift"
# Lease of a worker session between the call and its start. If the caller is killed before it sends the message, no
# other session is started for this long.
START_LEASE_SECONDS = 2.0
# Maximum number of ids in one run of push.lua, which blocks Redis: 0.3 ms for this many.
MAX_PUSHED_IDS = 500
# Maximum length of the preview list; with more, the worker is too busy for previews.
MAX_PREVIEWS = 32
TIMEOUTS = (redis.TimeoutError, TimeoutError)


def new_token() -> str:
    """Return a random token for the lease of a worker session."""
    return secrets.token_hex(8)


def push(ids: Sequence[int], *, reply: bool = True) -> None:
    """Enqueue submissions and start a worker session if needed. Call this after their rows are committed.

    Args:
        ids: Primary keys of pending submissions.
        reply: Whether a thread of this process will wait for the results.
    """
    with _log_redis_errors("submissions not enqueued, left to recovery") as client:
        if client is not None:
            _push_submissions(client, ids, reply=reply)


def ring() -> None:
    """Notify the workers of rows that are not in the queue."""
    with _log_redis_errors("no worker session started") as client:
        if client is not None:
            _push(client, QUEUE, ())


def call_worker(token: str) -> None:
    """Send the Celery message that starts the worker session `token`.

    Raises:
        redis.RedisError: Redis is unavailable.
        kombu.exceptions.OperationalError: The message could not be sent.
    """
    current_app.send_task(SHIFT_TASK, (token,), retry=False)


def prepare() -> None:
    """Import what `call_worker` needs, which takes 30 ms, before the first request. Sends nothing to Redis."""
    with current_app.producer_or_acquire():
        pass
    _ = current_app.backend


def worker_alive() -> bool:
    """Return whether a prediction worker's heartbeat is current; False if Redis is unavailable."""
    with _log_redis_errors("worker heartbeat unavailable") as client:
        if client is not None and client.worker_alive():
            return True
    return False


def wait_for(submission: Submission, seconds: float) -> Prediction | None:
    """Wait for the prediction of a submission that this process pushed; see `wait_for_all`.

    Returns:
        The prediction with its version (number only, other fields deferred), or None if it is pending or failed.
    """
    wait_for_all([submission], seconds, caller=SYSTEM_ACTOR.caller_key)
    return submission.latest_prediction if submission.state == SubmissionState.PREDICTED else None


def wait_for_all(submissions: Sequence[Submission], seconds: float, *, caller: str) -> None:
    """Wait for the results of submissions that were pushed together.

    Returns immediately if no worker's heartbeat is current (a worker session renews it while it runs) or if too many
    requests wait already. A request takes one slot for any number of submissions. Submissions that this process did not
    push, because another process did and was killed, are pushed again unless their row has a prediction by now.

    Args:
        submissions: Their `state`, `failure`, `doubt` and `latest_prediction` are updated.
        seconds: Timeout, limited to `PREDICTION_WAIT_SECONDS`.
        caller: The key of the caller (`Actor.caller_key`), whose share of the wait slots this takes.
    """
    if seconds > 0 and any(submission.state == SubmissionState.PENDING for submission in submissions):
        with wait_slots([caller]) as granted:
            if all(granted):
                wait_in_slot(submissions, seconds)


def wait_slots(callers: Sequence[str]) -> AbstractContextManager[list[bool]]:
    """Hold a wait slot for each request whose caller has one left; each waiting request occupies a thread.

    Args:
        callers: The `Actor.caller_key` of each request.

    Returns:
        A context manager that yields, for each request, whether it got a slot.
    """
    return link().waiting.slots(callers)


def wait_in_slot(submissions: Sequence[Submission], seconds: float) -> None:
    """Wait as `wait_for_all` does, inside the context of `wait_slots`."""
    waiting = {
        _key(submission.pk): submission for submission in submissions if submission.state == SubmissionState.PENDING
    }
    if not waiting:
        return
    deadline = time.monotonic() + min(seconds, settings.PREDICTION_WAIT_SECONDS)
    with _log_redis_errors("waiting for predictions failed") as client:
        if client is None or not client.worker_alive():
            return
        unregistered = [submission for key, submission in waiting.items() if not client.replies.expects(key)]
        if unregistered:
            answers.read(unregistered)
            pending_ids = [submission.pk for submission in unregistered if submission.state == SubmissionState.PENDING]
            _push_submissions(client, pending_ids, reply=True)
            waiting = {
                key: submission for key, submission in waiting.items() if submission.state == SubmissionState.PENDING
            }
        for key, message in client.replies.collect(list(waiting), deadline).items():
            if message:
                answers.take(waiting.pop(key), message)
    if waiting:
        answers.read(list(waiting.values()))


def preview(prepared: Prepared, seconds: float) -> Answer | None:
    """Predict an image that is not stored, with the live model.

    Submissions have priority; a preview that waited for `seconds` is dropped.

    Args:
        prepared: The preprocessed image.
        seconds: Timeout.

    Returns:
        The prediction, or None if the worker is busy or unavailable.
    """
    key = f"preview-{secrets.token_hex(8)}"
    deadline = time.monotonic() + seconds
    with _log_redis_errors("preview dropped") as client:
        if client is None or not client.worker_alive():
            return None
        request = {
            "key": key,
            "reply_to": client.replies.address,
            "pixels": base64.b64encode(prepared.pixels.tobytes()).decode(),
            "ink": dict(prepared.ink),
        }
        client.replies.expect([key.encode()])
        if _push(client, PREVIEWS, [json.dumps(request)], patience=seconds, limit=MAX_PREVIEWS) == "full":
            return None
        for reply in client.replies.collect([key.encode()], deadline).values():
            return _decode_answer(json.loads(reply))
    return None


def _key(pk: int) -> bytes:
    return b"%d" % pk


def _push_submissions(client: Link, ids: Sequence[int], *, reply: bool) -> None:
    """Enqueue ids, each followed by the name of this process's reply list if `reply` is true."""
    items: Sequence[int | str] = ids
    if reply:
        client.replies.expect([_key(pk) for pk in ids])
        items = [f"{pk} {client.replies.address}" for pk in ids]
    for start in range(0, len(items), MAX_PUSHED_IDS):
        _push(client, QUEUE, items[start : start + MAX_PUSHED_IDS])


def _push(client: Link, target: str, items: Sequence[str | int], *, patience: float = 0, limit: int = 0) -> str:
    """Run push.lua, and start a worker session if it says so."""
    token = new_token()
    outcome, _ = client.push(target, items, token=token, lease=START_LEASE_SECONDS, patience=patience, limit=limit)
    if outcome == "new":
        call_worker(token)
    return outcome


def _decode_answer(content: dict[str, Any]) -> Answer:
    from ml.serving.classifier import Answer
    from ml.serving.verdicts import Verdict

    return Answer(
        **content | {"probabilities": tuple(content["probabilities"]), "verdict": Verdict(content["verdict"])},
    )


@contextmanager
def _log_redis_errors(consequence: str) -> Iterator[Link | None]:
    """Log Redis errors instead of raising them. Yields the client, or None while the circuit breaker is open."""
    client = link()
    try:
        yield None if client.circuit.is_open() else client
    except (redis.RedisError, OperationalError, OSError) as error:
        # Celery's error has the one of Redis as its cause.
        if isinstance(error, TIMEOUTS) or isinstance(error.__cause__, TIMEOUTS):
            client.circuit.trip()
        log.warning("%s: %s", consequence, error)
