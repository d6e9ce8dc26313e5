"""Daily quotas: how much data one account or one address may store in a day.

Counted in the database, because stored data takes disk space. Days are UTC.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.crypto import salted_hmac

from recognizer.models import DailyUsage
from recognizer.services.lib.addresses import network_of
from recognizer.services.lib.units import MEGABYTE

from .actors import Actor

# Size of rows in the database with their share of the indexes, measured with SQLite's dbstat; see tests.
# A submission without strokes but with its pixels and one prediction, a label with its vote, an opt-out.
SUBMISSION_ROW_BYTES, LABEL_ROW_BYTES, OPT_OUT_ROW_BYTES, IDEMPOTENCY_ROW_BYTES = 4000, 300, 150, 500
# A further prediction of a submission.
PREDICTION_ROW_BYTES = 500
NO_LIMIT = 2**60


class QuotaError(Exception):
    """The daily quota is exceeded. The message is meant for the client; `wait` is the number of seconds to midnight."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        midnight = datetime.combine(_today() + timedelta(days=1), time(), UTC)
        self.wait = (midnight - timezone.now()).total_seconds()


@dataclass(frozen=True, slots=True)
class Allowance:
    """The daily quota of an actor and the rest of it today; None: no limit."""

    submissions: int | None
    submissions_left: int | None
    bytes: int | None
    bytes_left: int | None


def consume(*, actor: Actor, submissions: int, size: int) -> None:
    """Count data towards today's quota. Call it in the transaction that stores the data.

    Args:
        actor: the owner of the data.
        submissions: number of submissions; 0 if only other rows are added.
        size: bytes of files, strokes and rows.

    Raises:
        QuotaError: it exceeds the rest of the quota; nothing was counted.
    """
    key = _usage_key(actor)
    max_submissions, max_megabytes = _limits(actor)
    if not key or not (max_submissions or max_megabytes):
        return
    max_submissions = max_submissions or NO_LIMIT
    max_bytes = max_megabytes * MEGABYTE or NO_LIMIT
    if submissions > max_submissions or size > max_bytes:
        raise QuotaError("This is more at once than you may send in a day.")
    if not _increment(key, submissions, size, limits=(max_submissions - submissions, max_bytes - size)):
        raise QuotaError("You have sent as much as one may in a day. Please go on tomorrow.")


def charge(*, actor: Actor, size: int) -> None:
    """Count bytes that are stored even if the quota is exceeded; the next operation may be rejected then."""
    if key := _usage_key(actor):
        _increment(key, 0, size, limits=(NO_LIMIT, NO_LIMIT))


def _increment(key: str, submissions: int, size: int, *, limits: tuple[int, int]) -> bool:
    """Add to today's counts unless one of them is above its limit, and return whether they were changed."""
    with connection.cursor() as cursor:
        cursor.execute(CONSUME_SQL, (_today(), key, submissions, size, *limits))
        return bool(cursor.rowcount == 1)


# Raw SQL, because every submission executes it: the ORM is 10x slower and has no conditional upsert. It inserts a row
# on the first use of a day and changes no row whose quota is exhausted.
CONSUME_SQL = """
    INSERT INTO recognizer_usage (day, who, submissions, bytes) VALUES (%s, %s, %s, %s)
    ON CONFLICT (day, who) DO UPDATE
    SET submissions = recognizer_usage.submissions + excluded.submissions,
        bytes = recognizer_usage.bytes + excluded.bytes
    WHERE recognizer_usage.submissions <= %s AND recognizer_usage.bytes <= %s
"""


def remaining(actor: Actor) -> Allowance:
    """Return the actor's daily quota and the rest of it today."""
    key = _usage_key(actor)
    max_submissions, max_megabytes = _limits(actor) if key else (0, 0)
    row = DailyUsage.objects.filter(day=_today(), who=key).first() or DailyUsage()
    max_bytes = max_megabytes * MEGABYTE
    return Allowance(
        submissions=max_submissions or None,
        submissions_left=max(0, max_submissions - row.submissions) if max_submissions else None,
        bytes=max_bytes or None,
        bytes_left=max(0, max_bytes - row.bytes) if max_bytes else None,
    )


def delete_old_days() -> int:
    """Delete the counts of days before yesterday and return how many rows were deleted."""
    return DailyUsage.objects.filter(day__lt=_today() - timedelta(days=1)).delete()[0]


def _usage_key(actor: Actor) -> str:
    """Return the key of the actor's usage rows, or "" for operators, who have no quota.

    Of an address only a keyed hash is stored, for two days.
    """
    if actor.is_operator:
        return ""
    if actor.user is not None:
        return f"account:{actor.user.pk}"
    network = network_of(actor.address)
    if not network:
        return ""
    digest = salted_hmac("recognizer.quotas", network, algorithm="sha256").hexdigest()
    return f"address:{digest[:32]}"


def _today() -> date:
    return timezone.now().astimezone(UTC).date()


def _limits(actor: Actor) -> tuple[int, int]:
    """Return the maximum submissions and megabytes per day; 0: unlimited."""
    column = 0 if actor.user is None else 1
    return settings.SUBMISSIONS_PER_DAY[column], settings.MEGABYTES_PER_DAY[column]
