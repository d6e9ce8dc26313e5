"""Storing what was accepted: files and rows in one transaction, one ring for all of them, then all to the disk; and
waiting for the answers.

Whoever stores while another request's transaction is going on is stored with all others who do, in the next one: a
transaction, a push and a wait for the disk cost little more for ten rows than for one. Pictures are decoded there too,
one after the other in one thread: what reads a picture is then still in the processor's caches for the next one, and
the threads do not take Python's lock from each other's hands. One thread waits for the disk and for the answers of all
whom it stored, so that each of them is woken once. What cannot be stored together is tried alone, so nobody
is refused for somebody else's sake.
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

# What is done in the transaction that stores, with what becomes of each: all or nothing.
Within = Callable[[Sequence[Submission | SubmissionRejectedError]], None]


@dataclass(slots=True, eq=False)
class Parcel:
    """What one request brings.

    Attributes:
        make: gives in its order what is to be stored, and what was refused.
        seconds: how long the sender waits here for the answers. 0: nobody waits for them. None: the sender will, by
            `handoff.wait_for_all`.
        made: what `make` gave.
        waited: the answers were waited for as long as makes sense.
        files: those that have to go to the disk.
        error: why nothing of it was stored.
    """

    make: Callable[[], Sequence[PreparedSubmission | SubmissionRejectedError]]
    actor: Actor
    within: Within | None
    seconds: float | None = None
    made: Sequence[PreparedSubmission | SubmissionRejectedError] | None = None
    waited: bool = False
    files: list[str] = field(default_factory=list)
    error: Exception | None = None

    def prepare(self) -> None:
        """Make what is to be stored, unless that was done before, as it should be where it takes long: others wait."""
        if self.made is None:
            self.made = self.make()

    def raise_error(self) -> None:
        """Raise why nothing of it was stored, if so, and let go of the error: its traceback holds the parcel."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    @property
    def drafts(self) -> list[PreparedSubmission]:
        return [one for one in self.made if isinstance(one, PreparedSubmission)]

    @property
    def patience(self) -> float:
        """How long to wait for its one answer; 0 where there are none, or many, for which the others shall not wait."""
        is_one = self.error is None and len(self.drafts) == 1
        return (self.seconds or 0) if is_one else 0

    @property
    def outcomes(self) -> list[Submission | SubmissionRejectedError]:
        """For each its row, or why it was refused."""
        return [one.row if isinstance(one, PreparedSubmission) else one for one in self.made]


def store(parcel: Parcel) -> list[Submission | SubmissionRejectedError]:
    """Store a parcel, have it predicted, and wait for the answers if it says so; it is on the disk afterwards.

    Returns:
        For each of what it holds its row, or why it was refused.

    Raises:
        quotas.QuotaError: they have sent as much as one may in a day.
        StorageError: the storage is full, or cannot be written.
        NotAllowedError: their account was deleted meanwhile.
        Exception: what `make` or `within` raised. Nothing of the parcel was stored.
    """
    if connection.in_atomic_block:
        # Of somebody else's transaction nobody else's rows can be a part, and no answer comes before it is committed.
        _store_all([parcel])
        _bring_to_the_disk([parcel])
        parcel.waited = True
    else:
        _gathering.bring(parcel)
    parcel.raise_error()
    _note([parcel])
    if parcel.seconds and not parcel.waited:
        handoff.wait_for_all(_rows_of([parcel]), parcel.seconds, caller=parcel.actor.share_key)
    return parcel.outcomes


def _store_all(parcels: Sequence[Parcel]) -> None:
    ready = []
    for parcel in parcels:
        try:
            parcel.prepare()
        except Exception as error:  # noqa: BLE001 - whoever brought the parcel raises it
            parcel.error = error
        else:
            ready.append(parcel)
    if ready:
        _store_together(ready)


def _see_through(parcels: Sequence[Parcel], let_go: LetGo[Parcel]) -> None:
    """Bring what was stored to the disk, and wait for the answers of those who wait as long as this thread does.

    They were pushed together, and one worker answers them together. Where two share them, because the list was long,
    the quicker half waits for the other.
    """
    _bring_to_the_disk(parcels)
    seconds = parcels[0].patience
    together = [parcel for parcel in parcels if parcel.patience == seconds] if seconds else []
    with handoff.wait_slots([parcel.actor.share_key for parcel in together]) as granted:
        for parcel in together:
            parcel.waited = True  # or sent away, for too many wait already
        waiting = [parcel for parcel, has_slot in zip(together, granted, strict=True) if has_slot]
        if waiting and waiting[0] is not parcels[0]:
            waiting.insert(0, parcels[0])  # without a slot of its own, but its thread waits for the others
        if len(waiting) < len(parcels):
            let_go([parcel for parcel in parcels if parcel not in waiting])
        _note(waiting)
        try:
            handoff.wait_in_slot(_rows_of(waiting), seconds)
        except Exception as error:  # noqa: BLE001 - they are stored; each looks for itself, and raises what it finds
            log.warning("answers were not waited for together: %r", error)
            for parcel in waiting:
                parcel.waited = False


def _note(parcels: Sequence[Parcel]) -> None:
    """What this thread says in the log from now on is about these."""
    request_context.add(submissions=[row.pk for row in _rows_of(parcels)])


def _bring_to_the_disk(parcels: Sequence[Parcel]) -> None:
    stored = [parcel for parcel in parcels if parcel.error is None]
    if stored:
        fsync.flush([file for parcel in stored for file in parcel.files])


def _rows_of(parcels: Sequence[Parcel]) -> list[Submission]:
    return [one.row for parcel in parcels for one in parcel.drafts]


def _store_together(parcels: Sequence[Parcel]) -> None:
    try:
        with fsync.relaxed_sync(), transaction.atomic():
            _write(parcels)
    except Exception as error:  # noqa: BLE001 - whoever brought the parcel raises it
        if len(parcels) == 1:
            parcels[0].error = _reason(error, parcels[0].actor)
        else:
            for parcel in parcels:
                _store_together([parcel])


def _reason(error: Exception, actor: Actor) -> Exception:
    """Why nothing was stored. An account may have been deleted while its request was under way."""
    if isinstance(error, IntegrityError) and actor.user and not User.objects.filter(pk=actor.user.pk).exists():
        return NotAllowedError("This account was deleted.")
    return storage_error_of(error) or error


# Half of the wait slots that one caller may hold (three quarters of all): while one group waits, the next one finds as
# many. If all were stored together who came, some would be sent away for having come at the same moment.
_gathering: Gathering[Parcel] = Gathering(
    _store_all, then=_see_through, most=max(1, settings.MAX_WAITING_REQUESTS * 3 // 8)
)


def _write(parcels: Sequence[Parcel]) -> None:
    for parcel in parcels:
        # First, for whoever may send no more leaves no file behind.
        size = sum(one.size for one in parcel.drafts)
        quotas.consume(actor=parcel.actor, submissions=len(parcel.drafts), size=size)
        _write_files(parcel)
        if _may_train(parcel) and training_consent.has_opted_out(parcel.actor):
            for one in parcel.drafts:
                one.row.may_train = False
    bulk_insert.insert(_rows_of(parcels))
    for parcel in parcels:
        if parcel.within is not None:
            parcel.within(parcel.outcomes)
    transaction.on_commit(lambda: _after_the_commit(parcels))


def _after_the_commit(parcels: Sequence[Parcel]) -> None:
    if connection.vendor != "sqlite":
        _look_again(parcels)
    for is_awaited in (True, False):
        some = [parcel for parcel in parcels if (parcel.seconds != 0) is is_awaited]
        # The demo has all of its pictures answered at once.
        ids = [row.pk for row in _rows_of(some) if not row.demo]
        if ids:
            handoff.push(ids, reply=is_awaited)


def _look_again(parcels: Sequence[Parcel]) -> None:
    """Set right what somebody else may have done since `_write` looked. On SQLite one writes after the other."""
    for parcel in parcels:
        if (kept := _may_train(parcel)) and training_consent.has_opted_out(parcel.actor):
            Submission.objects.filter(pk__in=kept).update(may_train=False)
        # Whoever deleted the last other submission with an equal picture may have taken the file along.
        if any(not default_storage.exists(one.file.name) for one in parcel.drafts):
            _write_files(parcel)


def _write_files(parcel: Parcel) -> None:
    with fsync.deferred_sync(parcel.files):
        for one in parcel.drafts:
            storage.write(one.file)


def _may_train(parcel: Parcel) -> list[int | None]:
    """Ids of the rows, once they have one, that their sender gave for training."""
    return [one.row.pk for one in parcel.drafts if one.row.may_train]
