"""Write path of submissions: concurrent requests share a transaction, an enqueue, an fsync and the wait.

A transaction, an enqueue and an fsync cost little more for ten rows than for one. The leader of a batch (see
`lib.group_commit`) commits and enqueues it; while the next batch is committed, it syncs the files and rows of its own
and waits for the predictions, so that each other thread is woken once. If the transaction of a batch fails, each
request is retried alone, so that one bad request cannot fail the others.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db import IntegrityError, connection, transaction

from recognizer.models import Submission
from recognizer.services.identity import idempotency, quotas, training_consent
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.idempotency import Claim
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.identity.throttling import Kind, limit_rate
from recognizer.services.inference import producer
from recognizer.services.lib import bulk_insert, fsync, request_context
from recognizer.services.lib.group_commit import GroupCommit, max_transaction_requests
from recognizer.services.lib.storage_errors import storage_error_of

from . import intake
from .intake import PreparedSubmission, SubmissionInput

if TYPE_CHECKING:
    from recognizer.storage import DurableFileStorage

log = logging.getLogger(__name__)

# A stored submission, or the problem document of an input that was rejected.
Outcome = Submission | Mapping[str, Any]


@dataclass(slots=True, eq=False, kw_only=True)
class WriteRequest:
    """A request to store submissions.

    Attributes:
        actor: the sender.
        items: the prepared submissions, and the problem documents of rejected inputs, in order.
        payload: the input that is to be prepared, of a request with a single one; None once it is.
        claim: the idempotency key under which the outcomes are recorded in the same transaction.
        wait: whether a thread waits for the predictions. Otherwise a Celery task predicts them later.
        timeout: the maximum time to wait, in seconds. 0: the caller waits for the predictions itself.
        reply_to: name of the reply list on which the predictions arrive; requests that wait together share one.
        files: paths of the files to sync.
        error: the exception because of which nothing of the request was stored.
    """

    actor: Actor
    items: Sequence[PreparedSubmission | Mapping[str, Any]] = ()
    payload: SubmissionInput | None = None
    claim: Claim | None = None
    wait: bool = False
    timeout: float = 0.0
    reply_to: str = ""
    files: list[str] = field(default_factory=list)
    error: Exception | None = None

    @property
    def prepared(self) -> list[PreparedSubmission]:
        """The prepared submissions."""
        return [item for item in self.items if isinstance(item, PreparedSubmission)]

    @property
    def rows(self) -> list[Submission]:
        """The rows of the prepared submissions."""
        return [item.row for item in self.prepared]

    @property
    def outcomes(self) -> list[Outcome]:
        """The row or the problem document of each item."""
        return [item.row if isinstance(item, PreparedSubmission) else item for item in self.items]

    def prepare(self) -> None:
        """Prepare the payload, if there is one."""
        if self.payload is not None:
            self.items, self.payload = [intake.prepare(self.payload, actor=self.actor)], None

    def waits_with(self, leader: "WriteRequest") -> bool:
        """Return whether the leader's thread waits for the predictions of this request.

        A request with several submissions waits alone, because it takes longer.
        """
        return self.wait and self.timeout == leader.timeout > 0 and len(self.prepared) == len(leader.prepared) == 1

    def raise_error(self) -> None:
        """Raise the error of the request, if any, and drop it, because its traceback references the request."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error


@limit_rate(Kind.SUBMIT)
def store_input(
    payload: SubmissionInput, *, actor: Actor, claim: Claim | None = None, wait: bool = False, timeout: float = 0.0
) -> Submission:
    """Prepare and store the only input of a request; see `store`.

    The caller has checked with `permissions.require_submitter` that the actor may submit.

    Args:
        payload: the image or drawing.
        actor: the sender.
        claim: as in `WriteRequest`; so are the next two.
        wait: whether a thread waits for the prediction.
        timeout: the maximum time to wait, in seconds.

    Returns:
        The stored submission; pending, unless its prediction was ready in time.

    Raises:
        SubmissionRejectedError: the payload is invalid.
        throttling.ThrottledError: the rate limit is exceeded.
        BusyError: too many large images are being decoded.
        Exception: as `store`.
    """
    payload = intake.open_input(payload, max_pixels=settings.MAX_UPLOAD_PIXELS)
    request = WriteRequest(actor=actor, payload=payload, claim=claim, wait=wait, timeout=timeout)
    if payload.is_expensive:
        request.prepare()
    store(request)
    return request.rows[0]


def store(request: WriteRequest) -> list[Outcome]:
    """Store the submissions of a request on the disk, enqueue them, and wait for the predictions.

    Returns:
        For each item its row, or the problem document.

    Raises:
        quotas.QuotaError: the daily quota is exceeded.
        StorageError: the storage is full or not writable.
        NotAllowedError: the account was deleted during the request.
        idempotency.InProgressError: another attempt has acquired the idempotency key. Nothing was stored.
    """
    if connection.in_atomic_block:
        # The caller's transaction must not contain rows of other requests, and no worker sees the row before its end.
        request.wait = False
        _execute([request])
        _flush([request])
    else:
        group.submit(request)
    request.raise_error()
    _add_to_log([request])
    if request.wait and request.timeout:
        caller = request.actor.caller_key
        producer.wait_in_slot(request.rows, reply_to=request.reply_to, timeout=request.timeout, caller=caller)
    return request.outcomes


def _execute(requests: Sequence[WriteRequest]) -> None:
    """Prepare what is not prepared yet, commit and enqueue a batch."""
    for request in requests:
        try:
            request.prepare()
        except Exception as error:  # noqa: BLE001 - the thread of the request raises it
            request.error = error
    ready = [request for request in requests if request.error is None]
    if ready:
        _commit(ready)
    # Immediately, unless the caller has a transaction of its own.
    transaction.on_commit(partial(_enqueue, requests))


def _complete(requests: Sequence[WriteRequest]) -> Iterator[list[WriteRequest]]:
    """Sync the files and rows of a batch, and wait for the predictions of all requests that wait with the leader.

    They were enqueued together, and usually one worker predicts them in one batch. If two workers share them, because
    the queue was long, the faster half waits for the other.
    """
    leader = requests[0]
    _flush(requests)
    together = [request for request in requests if request.error is None and request.waits_with(leader)]
    with producer.wait_slots([request.actor.caller_key for request in together]) as granted:
        for request in together:
            request.wait = False  # also without a slot: too many requests wait already
        waiting = [request for request, has_slot in zip(together, granted, strict=True) if has_slot]
        yield [request for request in requests if request not in waiting]
        _add_to_log(waiting)
        try:
            if waiting:
                producer.wait(_rows(waiting), reply_to=waiting[0].reply_to, timeout=leader.timeout)
        except Exception as error:  # noqa: BLE001 - the submissions are stored
            log.warning("waiting for the predictions of a batch failed: %r", error)


group: GroupCommit[WriteRequest] = GroupCommit(_execute, _complete, max_batch_size=max_transaction_requests())


def _commit(requests: Sequence[WriteRequest]) -> None:
    try:
        with fsync.relaxed_sync(), transaction.atomic():
            _write(requests)
    except Exception as error:  # noqa: BLE001 - the thread of the request raises it
        if len(requests) == 1:
            requests[0].error = _translate(error, requests[0].actor)
        else:
            for request in requests:
                _commit([request])


def _translate(error: Exception, actor: Actor) -> Exception:
    """Translate an error of the transaction. An account may have been deleted during its request."""
    if isinstance(error, IntegrityError) and actor.user and not User.objects.filter(pk=actor.user.pk).exists():
        return NotAllowedError("This account was deleted.")
    return storage_error_of(error) or error


def _write(requests: Sequence[WriteRequest]) -> None:
    for request in requests:
        # Check the quota first, so that a rejected request leaves no orphaned file. No row refers to a missing file.
        size = sum(item.size for item in request.prepared)
        quotas.consume(actor=request.actor, submissions=len(request.prepared), size=size)
        request.files = _save(request.prepared)
        if any(row.may_train for row in request.rows) and training_consent.has_opted_out(request.actor):
            for row in request.rows:
                row.may_train = False
    bulk_insert.insert(_rows(requests))
    for request in requests:
        if request.claim is not None and request.prepared:
            idempotency.record(request.claim, request.outcomes)


def _enqueue(requests: Sequence[WriteRequest]) -> None:
    stored = [request for request in requests if request.error is None]
    if connection.vendor != "sqlite":
        _check_again(stored)
    together = producer.new_reply_list()
    later: list[int] = []
    awaited: dict[str, list[int]] = {}
    for request in stored:
        if request.wait and request.timeout:
            request.reply_to = together if request.waits_with(requests[0]) else producer.new_reply_list()
        ids = awaited.setdefault(request.reply_to, []) if request.wait else later
        # The demo predicts all of its submissions in one batch.
        ids += [row.pk for row in request.rows if not row.demo]
    for reply_to, ids in awaited.items():
        producer.enqueue(ids, reply_to=reply_to)
    if later:
        producer.predict_later(later)


def _check_again(requests: Sequence[WriteRequest]) -> None:
    """Repeat the checks of `_write` after the commit, for concurrent changes. On SQLite writers are serialized."""
    for request in requests:
        ids = [row.pk for row in request.rows if row.may_train]
        if ids and training_consent.has_opted_out(request.actor):
            Submission.objects.filter(pk__in=ids).update(may_train=False)
        # Deleting the last other submission with an equal image may have deleted the file.
        if any(not default_storage.exists(item.row.picture) for item in request.prepared):
            request.files = _save(request.prepared)


def _save(items: Sequence[PreparedSubmission]) -> list[str]:
    """Write the files and return their paths. An existing one is replaced: a power failure may have truncated it."""
    storage = cast("DurableFileStorage", default_storage)
    return [storage.save_unsynced(item.row.picture, item.data) for item in items]


def _flush(requests: Sequence[WriteRequest]) -> None:
    stored = [request for request in requests if request.error is None]
    if stored:
        fsync.flush([path for request in stored for path in request.files])


def _add_to_log(requests: Sequence[WriteRequest]) -> None:
    """Add the ids of the submissions to the log lines of this thread."""
    request_context.add(submissions=[row.pk for row in _rows(requests)])


def _rows(requests: Sequence[WriteRequest]) -> list[Submission]:
    return [row for request in requests for row in request.rows]
