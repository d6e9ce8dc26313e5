"""Write path for submissions: group commit of concurrent requests, one enqueue and one fsync for each group.

Concurrent requests are stored together in the next transaction: a transaction, an enqueue and an fsync cost little more
for ten rows than for one. Images are decoded by the same thread, one after the other: the decoder's code is then still
in the CPU's caches, and the threads do not compete for the GIL. That thread also waits for the disk and for the
predictions of the whole group, so that each other thread is woken once. If a group fails, each request is retried
individually, so that one bad request cannot fail the others.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db import IntegrityError, connection, transaction

from recognizer.models import Submission
from recognizer.services.identity import quotas, training_consent
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.images import storage
from recognizer.services.inference import handoff
from recognizer.services.lib import bulk_insert, fsync, request_context
from recognizer.services.lib.gathering import Gathering, LetGo
from recognizer.services.lib.storage_errors import storage_error_of

from .intake import PreparedSubmission, SubmissionRejectedError

log = logging.getLogger(__name__)

# Called in the transaction that stores the rows, with the outcomes of the request; an exception rolls it back.
Within = Callable[[Sequence[Submission | SubmissionRejectedError]], None]


@dataclass(slots=True, eq=False)
class Parcel:
    """A pending write request.

    Attributes:
        make: returns the prepared submissions and the errors of rejected inputs, in order.
        actor: the sender.
        within: called in the transaction that stores the rows.
        seconds: how long this thread waits for the predictions. 0: they are not awaited. None: the caller awaits them
            with `handoff.wait_for_all`.
        items: the result of `make`.
        waited: whether the predictions have been awaited.
        files: paths of the files to sync.
        error: the exception because of which nothing of the request was stored.
    """

    make: Callable[[], Sequence[PreparedSubmission | SubmissionRejectedError]]
    actor: Actor
    within: Within | None
    seconds: float | None = None
    items: Sequence[PreparedSubmission | SubmissionRejectedError] | None = None
    waited: bool = False
    files: list[str] = field(default_factory=list)
    error: Exception | None = None

    def prepare(self) -> None:
        """Prepare the submissions unless they are prepared. Call it before `store` for inputs that take long."""
        if self.items is None:
            self.items = self.make()

    def raise_error(self) -> None:
        """Raise the error of the request, if any, and drop it, because its traceback references the request."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    @property
    def drafts(self) -> list[PreparedSubmission]:
        """The prepared submissions."""
        return [item for item in self.items or () if isinstance(item, PreparedSubmission)]

    @property
    def patience(self) -> float:
        """Seconds to wait for the prediction of a single submission; 0 for several, which must not delay the group."""
        is_single = self.error is None and len(self.drafts) == 1
        return (self.seconds or 0) if is_single else 0

    @property
    def outcomes(self) -> list[Submission | SubmissionRejectedError]:
        """The row of each input, or the error that rejected it."""
        return [item.row if isinstance(item, PreparedSubmission) else item for item in self.items or ()]


def store(parcel: Parcel) -> list[Submission | SubmissionRejectedError]:
    """Store a write request on the disk, enqueue it for prediction, and wait for the results if `seconds` is set.

    Returns:
        The row of each input, or the error that rejected it.

    Raises:
        quotas.QuotaError: the daily quota is exceeded.
        StorageError: the storage is full or not writable.
        NotAllowedError: the account was deleted during the request.
        Exception: what `make` or `within` raised. Nothing of the request was stored.
    """
    if connection.in_atomic_block:
        # The caller's transaction cannot contain rows of other requests, and no worker sees the rows before its commit.
        _store_all([parcel])
        _bring_to_the_disk([parcel])
        parcel.waited = True
    else:
        _gathering.bring(parcel)
    parcel.raise_error()
    _note([parcel])
    if parcel.seconds and not parcel.waited:
        handoff.wait_for_all(_rows_of([parcel]), parcel.seconds, caller=parcel.actor.caller_key)
    return parcel.outcomes


def _store_all(parcels: Sequence[Parcel]) -> None:
    ready = []
    for parcel in parcels:
        try:
            parcel.prepare()
        except Exception as error:  # noqa: BLE001 - the thread of the request raises it
            parcel.error = error
        else:
            ready.append(parcel)
    if ready:
        _store_together(ready)


def _see_through(parcels: Sequence[Parcel], let_go: LetGo[Parcel]) -> None:
    """Sync the stored files and rows, and wait for the predictions of all requests that wait as long as this one.

    They were enqueued together, and usually one worker predicts them in one batch. If two workers share them, because
    the queue was long, the faster half waits for the other.
    """
    _bring_to_the_disk(parcels)
    seconds = parcels[0].patience
    together = [parcel for parcel in parcels if parcel.patience == seconds] if seconds else []
    with handoff.wait_slots([parcel.actor.caller_key for parcel in together]) as granted:
        for parcel in together:
            parcel.waited = True  # also without a slot: too many requests wait already
        waiting = [parcel for parcel, has_slot in zip(together, granted, strict=True) if has_slot]
        if waiting and waiting[0] is not parcels[0]:
            waiting.insert(0, parcels[0])  # has no slot of its own, but its thread waits for the others
        if len(waiting) < len(parcels):
            let_go([parcel for parcel in parcels if parcel not in waiting])
        _note(waiting)
        try:
            handoff.wait_in_slot(_rows_of(waiting), seconds)
        except Exception as error:  # noqa: BLE001 - they are stored; each thread waits by itself and raises its error
            log.warning("waiting for the predictions of a group failed: %r", error)
            for parcel in waiting:
                parcel.waited = False


def _note(parcels: Sequence[Parcel]) -> None:
    """Add the ids of these submissions to the log lines of this thread."""
    request_context.add(submissions=[row.pk for row in _rows_of(parcels)])


def _bring_to_the_disk(parcels: Sequence[Parcel]) -> None:
    stored = [parcel for parcel in parcels if parcel.error is None]
    if stored:
        fsync.flush([file for parcel in stored for file in parcel.files])


def _rows_of(parcels: Sequence[Parcel]) -> list[Submission]:
    return [draft.row for parcel in parcels for draft in parcel.drafts]


def _store_together(parcels: Sequence[Parcel]) -> None:
    try:
        with fsync.relaxed_sync(), transaction.atomic():
            _write(parcels)
    except Exception as error:  # noqa: BLE001 - the thread of the request raises it
        if len(parcels) == 1:
            parcels[0].error = _reason(error, parcels[0].actor)
        else:
            for parcel in parcels:
                _store_together([parcel])


def _reason(error: Exception, actor: Actor) -> Exception:
    """Translate an error of the transaction. An account may have been deleted during its request."""
    if isinstance(error, IntegrityError) and actor.user and not User.objects.filter(pk=actor.user.pk).exists():
        return NotAllowedError("This account was deleted.")
    return storage_error_of(error) or error


# Half of the wait slots that one caller may hold (three quarters of all): while one group waits, there are as many
# slots for the next one. Without the limit, some requests of a large group would get no slot.
_gathering: Gathering[Parcel] = Gathering(
    _store_all, then=_see_through, max_batch_size=max(1, settings.MAX_WAITING_REQUESTS * 3 // 8)
)


def _write(parcels: Sequence[Parcel]) -> None:
    for parcel in parcels:
        # Check the quota first, so that a rejected request leaves no orphaned file.
        size = sum(draft.size for draft in parcel.drafts)
        quotas.consume(actor=parcel.actor, submissions=len(parcel.drafts), size=size)
        _write_files(parcel)
        if _may_train(parcel) and training_consent.has_opted_out(parcel.actor):
            for draft in parcel.drafts:
                draft.row.may_train = False
    bulk_insert.insert(_rows_of(parcels))
    for parcel in parcels:
        if parcel.within is not None:
            parcel.within(parcel.outcomes)
    transaction.on_commit(lambda: _after_the_commit(parcels))


def _after_the_commit(parcels: Sequence[Parcel]) -> None:
    if connection.vendor != "sqlite":
        _look_again(parcels)
    for is_awaited in (True, False):
        selected = [parcel for parcel in parcels if (parcel.seconds != 0) is is_awaited]
        # The demo predicts all of its submissions in one batch.
        ids = [row.pk for row in _rows_of(selected) if not row.demo]
        if ids:
            handoff.push(ids, reply=is_awaited)


def _look_again(parcels: Sequence[Parcel]) -> None:
    """Repeat the checks of `_write` after the commit, for concurrent changes. On SQLite writers are serialized."""
    for parcel in parcels:
        if (ids := _may_train(parcel)) and training_consent.has_opted_out(parcel.actor):
            Submission.objects.filter(pk__in=ids).update(may_train=False)
        # Deleting the last other submission with an equal image may have deleted the file.
        if any(not default_storage.exists(draft.file.name) for draft in parcel.drafts):
            _write_files(parcel)


def _write_files(parcel: Parcel) -> None:
    with fsync.deferred_sync(parcel.files):
        for draft in parcel.drafts:
            storage.write(draft.file)


def _may_train(parcel: Parcel) -> list[int]:
    """Return the ids of the rows that may be used for training (None for each row that is not inserted yet)."""
    return [draft.row.pk for draft in parcel.drafts if draft.row.may_train]
