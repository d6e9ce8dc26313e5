"""Requests that may come again because their answer was lost on the way: `Idempotency-Key`, for 24 hours.

A key is taken before the work (`acquire`), notes what was stored in the same transaction that stores it (`record`), and
keeps the answer (`complete`). So whatever dies in between, what was stored is neither lost nor stored twice: the next
attempt finds it and answers for it. When a submission is deleted, the answers that tell of it go with it, and what is
left of the key keeps a repeated request from storing the submission again (`redact`).
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from recognizer.models import IdempotencyItem, IdempotencyKey, Submission
from recognizer.services.lib import fsync
from recognizer.services.lib.addresses import rate_key
from recognizer.services.lib.errors import detach

from . import quotas, throttling
from .actors import Actor

RETENTION = timedelta(hours=24)
# An attempt that has stored nothing after so long is taken for dead: longer than any request takes.
LOCK_TIMEOUT = timedelta(seconds=60)
# What is left to do once everything is stored, beside waiting for the answer.
RESPONSE_TIMEOUT = timedelta(seconds=5)
# A hash of a deleted picture would still tell whether somebody's copy is the same.
NO_FINGERPRINT = ""


class InProgressError(RuntimeError):
    """The same request is being answered at this moment."""


class KeyReusedError(ValueError):
    """The key came with another request before."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An answer as it was given, to be given again."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one attempt to do what its key stands for.

    Attributes:
        actor: whose quota counts the answer that is kept.
        stored: what earlier attempts have stored and there is no answer for, because the attempt died or because a
            submission was deleted; else None. A list with one of {"submission": id}, {"problem": document} and
            {"deleted": True} for each outcome that `record` was given.
    """

    pk: int
    attempt: str
    actor: Actor
    stored: list | None = field(default=None)


def acquire(*, actor: Actor, key: str, fingerprint: str) -> Claim | StoredResponse:
    """Take the key of a request, or get the answer that was given to it.

    Args:
        fingerprint: sha256 of the request, as hexadecimal.

    Raises:
        KeyReusedError: the key belongs to a request with another fingerprint.
        InProgressError: an attempt holds the key.
        throttling.ThrottledError: the answer was asked for too often.
    """
    scope, attempt, now = _scope(actor), secrets.token_hex(8), timezone.now()
    fresh = {
        "fingerprint": fingerprint,
        "attempt": attempt,
        "busy_until": now + LOCK_TIMEOUT,
        "expires": now + RETENTION,
    }
    try:
        # What is stored under the key waits for the disk, and this with it: it is written before.
        with fsync.relaxed_sync(), transaction.atomic():
            return Claim(IdempotencyKey.objects.create(scope=scope, key=key, **fresh).pk, attempt, actor)
    except IntegrityError as error:
        detach(error)  # Django's own are reference cycles
        row = IdempotencyKey.objects.filter(scope=scope, key=key).first()
    if row is None:  # given back at this moment
        raise InProgressError
    taken = IdempotencyKey.objects.filter(pk=row.pk, attempt=row.attempt)
    if row.expires <= now:
        emptied = {"stored": None, "status": None, "headers": {}, "body": ""}
        with transaction.atomic():
            if not taken.filter(expires__lte=now).update(**fresh, **emptied):
                raise InProgressError
            IdempotencyItem.objects.filter(key=row).delete()
        return Claim(row.pk, attempt, actor)
    if row.fingerprint not in (fingerprint, NO_FINGERPRINT):
        raise KeyReusedError
    if row.status is not None:
        # It does not reach its operation again, which would count it.
        throttling.count(actor, throttling.Kind.READ)
        return StoredResponse(row.status, row.headers, row.body)
    # An attempt that seems to take longer than any may began before the clock was set back.
    is_busy = timedelta(0) < row.busy_until - now <= LOCK_TIMEOUT + _answering_time()
    if is_busy or not taken.filter(status=None, busy_until=row.busy_until).update(
        attempt=attempt, busy_until=now + LOCK_TIMEOUT
    ):
        raise InProgressError
    return Claim(row.pk, attempt, actor, row.stored)


def record(claim: Claim, outcomes: Sequence[Submission | dict]) -> None:
    """Note what is being stored, in the same transaction.

    Args:
        claim: of the attempt that stores.
        outcomes: the rows, and the problem documents of what is not stored.

    Raises:
        InProgressError: another attempt has taken over; the transaction must not be committed.
    """
    stored = [{"submission": one.pk} if isinstance(one, Submission) else {"problem": one} for one in outcomes]
    until = timezone.now() + _answering_time()
    if not _mine(claim).filter(stored__isnull=True).update(stored=stored, busy_until=until):
        raise InProgressError
    rows = [one for one in outcomes if isinstance(one, Submission)]
    IdempotencyItem.objects.bulk_create(IdempotencyItem(key_id=claim.pk, submission=row) for row in rows)


def _answering_time() -> timedelta:
    """How long it may take to answer, once everything is stored."""
    return timedelta(seconds=settings.PREDICTION_WAIT_SECONDS) + RESPONSE_TIMEOUT


def redact(submissions: Collection[int]) -> None:
    """Remove every trace of submissions that are being deleted, in the same transaction.

    An answer that tells of one is dropped. A request that is sent again gets a new answer, which says of these that
    they were deleted. An attempt that is about to keep its answer keeps none.

    Args:
        submissions: their ids.
    """
    items = IdempotencyItem.objects.filter(submission__in=submissions)
    for row in IdempotencyKey.objects.select_for_update().filter(pk__in=items.values("key")):
        row.stored = [{"deleted": True} if item.get("submission") in submissions else item for item in row.stored]
        if not any("submission" in item for item in row.stored):
            row.fingerprint = NO_FINGERPRINT
        row.attempt, row.busy_until = secrets.token_hex(8), timezone.now()
        row.status, row.headers, row.body = None, {}, ""
        row.save()
    items.delete()


def complete(claim: Claim, kept: StoredResponse) -> None:
    """Keep the answer for whoever asks again. A power cut may take it: what is stored is then answered for anew.

    Where nothing was stored there is nothing to do twice: the key is free again.
    """
    with fsync.relaxed_sync():
        answer = {"status": kept.status, "headers": dict(kept.headers), "body": kept.body}
        if _mine(claim).filter(stored__isnull=False).update(**answer):
            size = len(kept.body.encode()) + len(str(answer["headers"])) + quotas.IDEMPOTENCY_ROW_BYTES
            quotas.charge(actor=claim.actor, size=size)
        else:
            _mine(claim).delete()


def release(claim: Claim) -> None:
    """The attempt failed: the key is free again, but for what was stored, which the next attempt answers for."""
    _mine(claim).filter(stored__isnull=True).delete()
    _mine(claim).update(busy_until=timezone.now())


def delete_expired() -> int:
    """Delete what is older than a day; how many keys went."""
    _, counts = IdempotencyKey.objects.filter(expires__lte=timezone.now()).delete()
    return counts.get(IdempotencyKey._meta.label, 0)  # noqa: SLF001 - public, for all its underscore


def delete_for(actor: Actor) -> None:
    """Delete what was answered to this person: the answers tell of pictures that they had deleted."""
    IdempotencyKey.objects.filter(scope=_scope(actor)).delete()


def _mine(claim: Claim) -> QuerySet[IdempotencyKey]:
    return IdempotencyKey.objects.filter(pk=claim.pk, attempt=claim.attempt, status=None)


def _scope(actor: Actor) -> str:
    """Return whose keys these are: two people may use the same key. Of an address only a keyed hash is stored.

    The network and not the address: a phone changes its IPv6 address between an attempt and the next one.
    """
    if actor.user is not None:
        return f"account {actor.user.pk}"
    if actor.visitor:
        return f"visitor {actor.visitor}"
    text = f"recognizer.idempotency {rate_key(actor.address)}"
    digest = hmac.new(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256)
    return f"address {digest.hexdigest()[:32]}"
