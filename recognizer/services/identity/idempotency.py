"""Idempotent requests: with an `Idempotency-Key`, a request may be repeated for 24 hours if its response was lost.

A key is acquired before the work (`acquire`), records the stored rows in the transaction that stores them (`record`),
and stores the response (`complete`). If the process stops in between, nothing is lost or stored twice: the next attempt
finds the rows and responds for them. When a submission is deleted, the responses that contain it are deleted, and the
rest of the key prevents a repeated request from storing the submission again (`redact`).
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

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
# An attempt that has stored nothing after this time has failed: it is longer than any request takes.
LOCK_TIMEOUT = timedelta(seconds=60)
# Time for the rest of a request after its rows are stored, apart from waiting for the prediction.
RESPONSE_TIMEOUT = timedelta(seconds=5)
# The hash of a deleted image would still tell whether another image is a copy of it.
NO_FINGERPRINT = ""

# Has one key: "submission" (an id), "problem" (a document) or "deleted" (True).
StoredItem = dict[str, Any]


class InProgressError(RuntimeError):
    """Another attempt of the same request is in progress; retry after `wait` seconds."""

    wait = 1

    def __init__(self) -> None:
        super().__init__("The same was sent before and is still being answered. Send it again in a moment.")


class KeyReusedError(ValueError):
    """The key was used with a different request before."""

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key came with another request before. Use a new key for each new request.")


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response of a completed request, for repeated attempts."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Claim:
    """An idempotency key that is held by one attempt of its request.

    Attributes:
        pk: id of the key's row.
        attempt: random id of the attempt.
        actor: the actor whose quota counts the stored response.
        stored: what earlier attempts have stored without a response, because the attempt failed or because a
            submission was deleted; None if nothing. One of {"submission": id}, {"problem": document} and
            {"deleted": True} for each outcome that was passed to `record`.
    """

    pk: int
    attempt: str
    actor: Actor
    stored: list[StoredItem] | None = field(default=None)


def acquire(*, actor: Actor, key: str, fingerprint: str) -> Claim | StoredResponse:
    """Acquire the key of a request, or return its stored response.

    Args:
        actor: the caller.
        key: the value of `Idempotency-Key`.
        fingerprint: sha256 of the request, as hexadecimal.

    Raises:
        KeyReusedError: the key belongs to a request with another fingerprint.
        InProgressError: another attempt holds the key.
        throttling.ThrottledError: the stored response was requested too often.
    """
    scope, attempt, now = _scope(actor), secrets.token_hex(8), timezone.now()
    new_attempt: dict[str, Any] = {
        "fingerprint": fingerprint,
        "attempt": attempt,
        "busy_until": now + LOCK_TIMEOUT,
        "expires": now + RETENTION,
    }
    try:
        # Without a sync of its own: the rows of the request are committed later and synced, and this commit with them.
        with fsync.relaxed_sync(), transaction.atomic():
            return Claim(IdempotencyKey.objects.create(scope=scope, key=key, **new_attempt).pk, attempt, actor)
    except IntegrityError as error:
        detach(error)  # errors of Django's database wrapper are reference cycles
        row = IdempotencyKey.objects.filter(scope=scope, key=key).first()
    if row is None:  # another attempt has just released it
        raise InProgressError
    unchanged = IdempotencyKey.objects.filter(pk=row.pk, attempt=row.attempt)
    if row.expires <= now:
        no_response: dict[str, Any] = {"stored": None, "status": None, "headers": {}, "body": ""}
        with transaction.atomic():
            if not unchanged.filter(expires__lte=now).update(**new_attempt, **no_response):
                raise InProgressError
            IdempotencyItem.objects.filter(key=row).delete()
        return Claim(row.pk, attempt, actor)
    if row.fingerprint not in (fingerprint, NO_FINGERPRINT):
        raise KeyReusedError
    if row.status is not None:
        # Counted here because the request does not reach the operation that would count it.
        throttling.count(actor, throttling.Kind.READ)
        return StoredResponse(row.status, row.headers, row.body)
    # A lock that expires later than any lock may was acquired before the clock was set back.
    is_busy = timedelta(0) < row.busy_until - now <= LOCK_TIMEOUT + _max_response_time()
    if is_busy or not unchanged.filter(status=None, busy_until=row.busy_until).update(
        attempt=attempt, busy_until=now + LOCK_TIMEOUT
    ):
        raise InProgressError
    return Claim(row.pk, attempt, actor, row.stored)


def record(claim: Claim, outcomes: Sequence[Submission | Mapping[str, Any]]) -> None:
    """Record the outcomes of the request, in the transaction that stores them.

    Args:
        claim: the claim of the attempt.
        outcomes: the stored rows, and the problem documents of the rejected inputs.

    Raises:
        InProgressError: another attempt has acquired the key; the transaction must be rolled back.
    """
    stored = [
        {"submission": outcome.pk} if isinstance(outcome, Submission) else {"problem": outcome} for outcome in outcomes
    ]
    until = timezone.now() + _max_response_time()
    if not _claimed(claim).filter(stored__isnull=True).update(stored=stored, busy_until=until):
        raise InProgressError
    rows = [outcome for outcome in outcomes if isinstance(outcome, Submission)]
    IdempotencyItem.objects.bulk_create(IdempotencyItem(key_id=claim.pk, submission=row) for row in rows)


def _max_response_time() -> timedelta:
    """Return how long the response may take once everything is stored."""
    return timedelta(seconds=settings.PREDICTION_WAIT_SECONDS) + RESPONSE_TIMEOUT


def redact(submissions: Collection[int]) -> None:
    """Remove submissions that are being deleted from the stored responses, in the same transaction.

    Responses that contain one of them are deleted. A repeated request gets a new response, which reports them as
    deleted. An attempt in progress cannot store its response any more.

    Args:
        submissions: ids of the submissions.
    """
    items = IdempotencyItem.objects.filter(submission__in=submissions)
    for row in IdempotencyKey.objects.select_for_update().filter(pk__in=items.values("key")):
        stored: list[StoredItem] = row.stored or []
        row.stored = [{"deleted": True} if item.get("submission") in submissions else item for item in stored]
        if not any("submission" in item for item in row.stored):
            row.fingerprint = NO_FINGERPRINT
        row.attempt, row.busy_until = secrets.token_hex(8), timezone.now()
        row.status, row.headers, row.body = None, {}, ""
        row.save()
    items.delete()


def complete(claim: Claim, response: StoredResponse) -> None:
    """Store the response for repeated attempts, or delete the key if the request has stored nothing.

    Not synced to the disk: if a power failure loses the response, the next attempt makes a new one from the stored
    rows.
    """
    with fsync.relaxed_sync():
        headers = dict(response.headers)
        recorded = _claimed(claim).filter(stored__isnull=False)
        if recorded.update(status=response.status, headers=headers, body=response.body):
            size = len(response.body.encode()) + len(str(headers)) + quotas.IDEMPOTENCY_ROW_BYTES
            quotas.charge(actor=claim.actor, size=size)
        else:
            _claimed(claim).delete()


def release(claim: Claim) -> None:
    """Release the key after a failed attempt; it is kept if rows were stored, so that the next attempt finds them."""
    _claimed(claim).filter(stored__isnull=True).delete()
    _claimed(claim).update(busy_until=timezone.now())


def delete_expired() -> int:
    """Delete keys that are older than a day and return how many were deleted."""
    _, counts = IdempotencyKey.objects.filter(expires__lte=timezone.now()).delete()
    return counts.get(IdempotencyKey._meta.label, 0)  # noqa: SLF001 - documented API


def delete_for(actor: Actor) -> None:
    """Delete the keys and stored responses of an actor whose submissions were deleted."""
    IdempotencyKey.objects.filter(scope=_scope(actor)).delete()


def _claimed(claim: Claim) -> QuerySet[IdempotencyKey]:
    return IdempotencyKey.objects.filter(pk=claim.pk, attempt=claim.attempt, status=None)


def _scope(actor: Actor) -> str:
    """Return the namespace of the actor's keys, because two actors may use the same key.

    Without an account or a cookie it is a keyed hash of the network; not of the address, because a phone may change its
    IPv6 address between two attempts.
    """
    if actor.user is not None:
        return f"account {actor.user.pk}"
    if actor.visitor:
        return f"visitor {actor.visitor}"
    text = f"recognizer.idempotency {rate_key(actor.address)}"
    digest = hmac.new(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256)
    return f"address {digest.hexdigest()[:32]}"
