"""The asking side, called by whoever accepted a submission: push its id, call a worker, wait for the answer.

Nothing here raises because of Redis: the submission is committed, its pending row is the truth, and the sweeper
finds what no list and no message knows of.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import redis
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from recognizer.models import Prediction, Submission, SubmissionState
from recognizer.services.identity.actors import SYSTEM_ACTOR
from recognizer.services.inference import answers

from .connection import PREVIEWS, QUEUE, Link, link

if TYPE_CHECKING:  # NumPy and OpenCV, which the default worker does not need
    from ml.preprocessing import Prepared
    from ml.serving.classifier import Answer

log = logging.getLogger(__name__)

SHIFT_TASK = "recognizer.tasks.serve_shift"
# What a shift that was called for gets to begin; a caller that dies before it sent the message costs as long.
START_LEASE_SECONDS = 2.0
# Ids that one call of the script pushes: it runs alone in Redis, 0.3 ms for so many.
PUSH_AT_ONCE = 500
# More previews than this waiting means that the worker has better things to do.
MOST_PREVIEWS = 32
TIMEOUTS = (redis.TimeoutError, TimeoutError)


def new_token() -> str:
    return secrets.token_hex(8)


def push(ids: Sequence[int], *, reply: bool = True) -> None:
    """Put submissions on the list and see to it that a worker comes. Call it after their rows are committed.

    Args:
        reply: somebody in this process will wait for the answers.
    """
    with _without_failing("a submission waits for the sweeper") as there:
        if there is not None:
            _push_submissions(there, ids, reply=reply)


def ring() -> None:
    """See to it that a worker comes, for rows that are on no list."""
    with _without_failing("no worker was called") as there:
        if there is not None:
            _push(there, QUEUE, ())


def call_worker(token: str) -> None:
    """Send the message that begins the shift `token`. Raises what Celery and Redis raise."""
    current_app.send_task(SHIFT_TASK, (token,), retry=False)


def prepare() -> None:
    """Load what calling a worker takes: 30 ms for which the first visitor would wait. Asks Redis for nothing."""
    with current_app.producer_or_acquire():
        pass
    _ = current_app.backend


def worker_alive() -> bool:
    """Whether a prediction worker's heartbeat is current; False when Redis does not say."""
    with _without_failing("nobody knows whether a worker lives") as there:
        return there is not None and there.worker_alive()
    return False


def wait_for(submission: Submission, seconds: float) -> Prediction | None:
    """Wait for the answer to a submission that a program on this machine pushed; see `wait_for_all`.

    Returns:
        The prediction with its version (number only, the rest deferred), or None: pending still, or failed.
    """
    wait_for_all([submission], seconds, caller=SYSTEM_ACTOR.share_key)
    return submission.latest_prediction if submission.state == SubmissionState.PREDICTED else None


def wait_for_all(submissions: Sequence[Submission], seconds: float, *, caller: str) -> None:
    """Wait for the answers to submissions that were pushed together.

    Returns at once when no worker's heartbeat is current (a shift renews it as long as it lasts) or too many requests
    wait already; a request counts once, however many submissions it waits for. What this process did not push itself,
    because an attempt in another one did and died, is pushed again, unless its row has the answer by now.

    Args:
        submissions: their `state`, `failure`, `doubt` and `latest_prediction` are brought up to date.
        seconds: at most `PREDICTION_WAIT_SECONDS` of them are granted.
        caller: whose share of those who may wait this takes (`Actor.share_key`).
    """
    if seconds > 0 and any(one.state == SubmissionState.PENDING for one in submissions):
        with wait_slots([caller]) as granted:
            if all(granted):
                wait_in_slot(submissions, seconds)


def wait_slots(callers: Sequence[str]) -> AbstractContextManager[list[bool]]:
    """Hold a slot for each request that is to wait, where its caller finds one: each holds a thread.

    Args:
        callers: the `Actor.share_key` of each request.
    """
    return link().waiting.slots(callers)


def wait_in_slot(submissions: Sequence[Submission], seconds: float) -> None:
    """Wait as `wait_for_all` does, within `wait_slots`."""
    waiting = {_key(one.pk): one for one in submissions if one.state == SubmissionState.PENDING}
    if not waiting:
        return
    deadline = time.monotonic() + min(seconds, settings.PREDICTION_WAIT_SECONDS)
    with _without_failing("an answer was not waited for") as there:
        if there is None or not there.worker_alive():
            return
        strangers = [one for key, one in waiting.items() if not there.replies.expects(key)]
        if strangers:
            answers.read(strangers)
            pending = [one.pk for one in strangers if one.state == SubmissionState.PENDING]
            _push_submissions(there, pending, reply=True)
            waiting = {key: one for key, one in waiting.items() if one.state == SubmissionState.PENDING}
        for key, answer in there.replies.collect(list(waiting), deadline).items():
            if answer:
                answers.take(waiting.pop(key), answer)
    if waiting:
        answers.read(list(waiting.values()))


def preview(prepared: Prepared, seconds: float) -> Answer | None:
    """What the live model says of a picture that nobody stores; None when the worker is busy or away.

    Submissions go first; a preview that waited for `seconds` is dropped unanswered.
    """
    key = f"preview-{secrets.token_hex(8)}"
    deadline = time.monotonic() + seconds
    with _without_failing("a preview was dropped") as there:
        if there is None or not there.worker_alive():
            return None
        request = {
            "key": key,
            "reply_to": there.replies.address,
            "pixels": base64.b64encode(prepared.pixels.tobytes()).decode(),
            "ink": dict(prepared.ink),
        }
        there.replies.expect([key.encode()])
        if _push(there, PREVIEWS, [json.dumps(request)], patience=seconds, limit=MOST_PREVIEWS) == "full":
            return None
        for answer in there.replies.collect([key.encode()], deadline).values():
            return _answer(json.loads(answer))
    return None


def _key(pk: int) -> bytes:
    return b"%d" % pk


def _push_submissions(there: Link, ids: Sequence[int], *, reply: bool) -> None:
    """An item of the queue is an id and, if an answer is wanted, the list on which it shall come."""
    items: Sequence[int | str] = ids
    if reply:
        there.replies.expect([_key(pk) for pk in ids])
        items = [f"{pk} {there.replies.address}" for pk in ids]
    for start in range(0, len(items), PUSH_AT_ONCE):
        _push(there, QUEUE, items[start : start + PUSH_AT_ONCE])


def _push(there: Link, target: str, items: Sequence[str | int], *, patience: float = 0, limit: int = 0) -> str:
    token = new_token()
    what, _ = there.push(target, items, token=token, lease=START_LEASE_SECONDS, patience=patience, limit=limit)
    if what == "new":
        call_worker(token)
    return what


def _answer(given: dict) -> Answer:
    from ml.serving.classifier import Answer
    from ml.serving.verdicts import Verdict

    return Answer(
        **given | {"probabilities": tuple(given["probabilities"]), "verdict": Verdict(given["verdict"])},
    )


@contextmanager
def _without_failing(otherwise: str) -> Iterator[Link | None]:
    """The link, or None while Redis is known to be frozen; what Redis raises is logged and goes no further."""
    there = link()
    try:
        yield None if there.circuit.is_open() else there
    except (redis.RedisError, OperationalError, OSError) as error:
        # Celery's error carries Redis's own as its cause.
        if isinstance(error, TIMEOUTS) or isinstance(error.__cause__, TIMEOUTS):
            there.circuit.trip()
        log.warning("%s: %s", otherwise, error)
