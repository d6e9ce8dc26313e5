"""How much one account or one address may have stored in a day: it costs disk, so it is counted in the database.

Called before submissions are stored. Days are UTC.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac

from recognizer.models import Usage
from recognizer.services.lib.addresses import UNKNOWN_NETWORK, is_loopback, rate_key

from .actors import Actor

MEGABYTE = 1024 * 1024
# What rows take in the database with their share of the indexes, measured with SQLite's dbstat; see tests.
# A submission without strokes but with its pixels and one prediction, a label with its vote, a person's wish.
SUBMISSION_ROW_BYTES, LABEL_ROW_BYTES, OPT_OUT_ROW_BYTES, IDEMPOTENCY_ROW_BYTES = 4000, 300, 150, 500
NO_LIMIT = 2**60


class QuotaError(Exception):
    """So much cannot be stored today; the message says so, `wait` in how many seconds a new day begins."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        now = timezone.now()
        midnight = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
        self.wait = (midnight - now).total_seconds()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What somebody may have stored in a day, and what is left of it; None: no limit."""

    submissions: int | None
    submissions_left: int | None
    bytes: int | None
    bytes_left: int | None


def consume(*, actor: Actor, submissions: int, size: int) -> None:
    """Count what is stored today. Called in the transaction that stores it.

    Args:
        actor: whose it is.
        submissions: number of submissions; 0 if only other rows are added.
        size: bytes of all that is stored with them: files, strokes and rows.

    Raises:
        QuotaError: that is more than is left; nothing was counted.
    """
    who = _who(actor)
    max_submissions, max_megabytes = _limits(actor)
    if not who or not (max_submissions or max_megabytes):
        return
    max_submissions = max_submissions or NO_LIMIT
    max_bytes = max_megabytes * MEGABYTE or NO_LIMIT
    if submissions > max_submissions or size > max_bytes:
        raise QuotaError("This is more at once than you may send in a day.")
    today = timezone.now().astimezone(UTC).date()
    limits = (max_submissions - submissions, max_bytes - size)
    with connection.cursor() as cursor:
        cursor.execute(CONSUME_SQL, (today, who, submissions, size, *limits))
        if cursor.rowcount != 1:
            raise QuotaError("You have sent as much as one may in a day. Please go on tomorrow.")


def charge(*, actor: Actor, size: int) -> None:
    """Count bytes that are stored whether there is an allowance left or not; the next operation may be refused."""
    who = _who(actor)
    if who:
        today = timezone.now().astimezone(UTC).date()
        Usage.objects.bulk_create([Usage(day=today, who=who)], ignore_conflicts=True)
        Usage.objects.filter(day=today, who=who).update(bytes=F("bytes") + size)


# Hand-written: every submission runs it, and the ORM takes ten times as long to compile it and has no upsert with a
# condition. A row is added on the first use of a day; one that is used up is left alone.
CONSUME_SQL = """
    INSERT INTO recognizer_usage (day, who, submissions, bytes) VALUES (%s, %s, %s, %s)
    ON CONFLICT (day, who) DO UPDATE
    SET submissions = recognizer_usage.submissions + excluded.submissions,
        bytes = recognizer_usage.bytes + excluded.bytes
    WHERE recognizer_usage.submissions <= %s AND recognizer_usage.bytes <= %s
"""


def remaining(actor: Actor) -> Allowance:
    """What this person may still have stored today."""
    who = _who(actor)
    submissions, megabytes = _limits(actor) if who else (0, 0)
    row = Usage.objects.filter(day=timezone.now().astimezone(UTC).date(), who=who).first() or Usage()
    in_bytes = megabytes * MEGABYTE
    return Allowance(
        submissions=submissions or None,
        submissions_left=max(0, submissions - row.submissions) if submissions else None,
        bytes=in_bytes or None,
        bytes_left=max(0, in_bytes - row.bytes) if in_bytes else None,
    )


def delete_old_days() -> int:
    """Delete what was counted before yesterday; how many rows went."""
    return Usage.objects.filter(day__lt=timezone.now().astimezone(UTC).date() - timedelta(days=1)).delete()[0]


def network_of(address: str) -> str:
    """Return the network that a rate or quota counts for this address; "": none, it is not counted.

    Commands have no address and are not counted. Without BEHIND_PROXY neither are loopback and local sockets: those are
    the operator's own programs, or a proxy that the settings do not know of, behind which everyone has one address.
    """
    network = rate_key(address)
    if settings.BEHIND_PROXY:
        return network if address else ""
    return "" if network == UNKNOWN_NETWORK or is_loopback(address) else network


def _who(actor: Actor) -> str:
    """Operators may do as they like. An address is kept as a keyed hash only, for two days."""
    if actor.is_operator:
        return ""
    if actor.user is not None:
        return f"account:{actor.user.pk}"
    network = network_of(actor.address)
    if not network:
        return ""
    digest = salted_hmac("recognizer.quotas", network, algorithm="sha256").hexdigest()
    return f"address:{digest[:32]}"


def _limits(actor: Actor) -> tuple[int, int]:
    """Submissions and megabytes a day; 0: as many as one likes."""
    column = 0 if actor.user is None else 1
    return settings.SUBMISSIONS_PER_DAY[column], settings.MEGABYTES_PER_DAY[column]
