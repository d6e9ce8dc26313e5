"""Storing what was accepted: files and rows in one transaction, one ring for all of them, then all to the disk.

Whoever stores while another request's transaction is going on is stored with all others who do, in the next one: a
transaction, a push and a wait for the disk cost little more for ten rows than for one. What cannot be stored together
is tried alone, so nobody is refused for somebody else's sake. Called by services.submissions alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.db import connection, transaction

from recognizer.models import Submission

from . import durability, handoff, pictures, privacy, quotas, rows
from .actors import Actor
from .drafts import Draft, Refused
from .gathering import Gathering

# What is done in the transaction that stores, with what becomes of each: all or nothing.
Within = Callable[[Sequence[Submission | Refused]], None]


@dataclass(slots=True, eq=False)
class Parcel:
    """What one request brings: in its order what is to be stored, and what was refused before.

    Attributes:
        is_awaited: its sender will wait for the answers.
        files: those that have to go to the disk.
        error: why nothing of it was stored.
    """

    made: Sequence[Draft | Refused]
    actor: Actor
    within: Within | None
    is_awaited: bool = True
    files: list[str] = field(default_factory=list)
    error: Exception | None = None

    @property
    def drafts(self) -> list[Draft]:
        return [one for one in self.made if isinstance(one, Draft)]

    @property
    def outcomes(self) -> list[Submission | Refused]:
        """For each its row, or why it was refused."""
        return [one.row if isinstance(one, Draft) else one for one in self.made]


def store(parcel: Parcel) -> None:
    """Store a parcel and have it predicted; what it holds is on the disk afterwards.

    Raises:
        quotas.QuotaError: they have sent as much as one may in a day.
        pictures.NoRoomError: the storage is full.
        Exception: what `within` raised. Nothing of the parcel was stored.
    """
    if connection.in_atomic_block:
        _store_together([parcel])  # of somebody else's transaction nobody else's rows can be a part
    else:
        _gathering.bring(parcel)
    if parcel.error is not None:
        raise parcel.error
    durability.wait(parcel.files)


def _store_together(parcels: Sequence[Parcel]) -> None:
    try:
        with durability.repeatable(), transaction.atomic():
            _write(parcels)
    except Exception as error:  # noqa: BLE001 - whoever brought the parcel raises it
        if len(parcels) == 1:
            parcels[0].error = error
        else:
            for parcel in parcels:
                _store_together([parcel])


_gathering: Gathering[Parcel] = Gathering(_store_together)


def _write(parcels: Sequence[Parcel]) -> None:
    for parcel in parcels:
        # First, for whoever may send no more leaves no file behind.
        size = sum(len(one.file.data) for one in parcel.drafts)
        quotas.spend(actor=parcel.actor, pictures=len(parcel.drafts), size=size)
        _write_files(parcel)
        if _may_train(parcel) and privacy.has_opted_out(parcel.actor):
            for one in parcel.drafts:
                one.row.may_train = False
    rows.insert([one.row for parcel in parcels for one in parcel.drafts])
    for parcel in parcels:
        if parcel.within is not None:
            parcel.within(parcel.outcomes)
    transaction.on_commit(lambda: _after_the_commit(parcels))


def _after_the_commit(parcels: Sequence[Parcel]) -> None:
    for parcel in parcels:
        # Somebody may have opted out since we looked; on SQLite, where one writes after the other, nobody can have.
        if connection.vendor != "sqlite" and (kept := _may_train(parcel)) and privacy.has_opted_out(parcel.actor):
            Submission.objects.filter(pk__in=kept).update(may_train=False)
        _write_files(parcel)
    for is_awaited in (True, False):
        some = [one.row for parcel in parcels if parcel.is_awaited is is_awaited for one in parcel.drafts]
        # The demo has all of its pictures answered at once.
        ids = [row.pk for row in some if not row.demo]
        if ids:
            handoff.push(ids, reply=is_awaited)


def _write_files(parcel: Parcel) -> None:
    with durability.later(parcel.files):
        for one in parcel.drafts:
            pictures.write(one.file)


def _may_train(parcel: Parcel) -> list[int | None]:
    """Ids of the rows, once they have one, that their sender gave for training."""
    return [one.row.pk for one in parcel.drafts if one.row.may_train]
