"""Login throttling: limits for passwords of one account, passwords from one address, new accounts and mails.

Attempts are counted in the database, which a login needs anyway. See docs/adr/0012-login-throttle.md.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import salted_hmac

from recognizer.models import Attempt
from recognizer.services.lib.addresses import rate_key

Kind = Attempt.Kind

WINDOW = timedelta(minutes=15)
RETENTION = timedelta(days=1)
# Multiples of MAX_LOGIN_ATTEMPTS for the wrong passwords of one address (a class or a household may share it), and of
# one account from all addresses.
FROM_ONE_ADDRESS, FOR_ONE_ACCOUNT = 10, 5
# Successful sign-ins are limited too, because checking a password always takes CPU time. All pupils of a class may
# sign in with one account.
SIGN_INS_FOR_ONE_ACCOUNT, SIGN_INS_FROM_ONE_ADDRESS = 60, 300
SIGN_UPS, MAILS_FROM_ONE_ADDRESS, MAILS_FOR_ONE_ACCOUNT = 60, 20, 3


class TooManyAttemptsError(RuntimeError):
    """The limit of attempts is reached; the message says when to retry, `wait` in how many seconds."""

    def __init__(self, wait: float) -> None:
        minutes = max(1, math.ceil(wait / 60))
        super().__init__(f"Too many tries. Wait {minutes} minute{'' if minutes == 1 else 's'}, then try again.")
        self.wait = wait


@dataclass(frozen=True, slots=True)
class _Limit:
    """Maximum number of recent attempts of one kind with the same values in `fields`."""

    kind: Kind
    fields: tuple[str, ...]
    max_attempts: int


def record_attempt(kind: Kind, *, account: str = "", address: str) -> Attempt:
    """Record an attempt before it is made, so that concurrent attempts are counted.

    Args:
        kind: what is attempted.
        account: the name (or mail address) as it was typed; the account need not exist.
        address: the client's network address.

    Raises:
        TooManyAttemptsError: a limit is reached; the attempt must not be made.
    """
    now = timezone.now()
    Attempt.objects.filter(created__lt=now - RETENTION).delete()
    attempt = Attempt.objects.create(
        kind=kind, account=_digest(account), address=_digest(rate_key(address)), created=now
    )
    recent = Attempt.objects.filter(created__gt=now - WINDOW)
    for limit in _limits(kind):
        # Attempts of another kind than the limit's do not include this attempt.
        max_attempts = limit.max_attempts if limit.kind == kind else limit.max_attempts - 1
        same = {name: getattr(attempt, name) for name in limit.fields}
        counted = recent.filter(kind=limit.kind, **same).order_by("-created")
        times = counted.values_list("created", flat=True)[: max_attempts + 1]
        if len(times) > max_attempts:
            attempt.delete()  # a rejected attempt does not extend the wait
            raise TooManyAttemptsError((times[max_attempts] + WINDOW - now).total_seconds())
    return attempt


def reset(attempt: Attempt) -> None:
    """Delete the failed attempts of this account from this address after a successful one, which is counted instead."""
    Attempt.objects.filter(kind=attempt.kind, account=attempt.account, address=attempt.address).delete()
    Attempt.objects.create(kind=Kind.SESSION, account=attempt.account, address=attempt.address, created=attempt.created)


def _limits(kind: Kind) -> list[_Limit]:
    max_attempts = settings.MAX_LOGIN_ATTEMPTS
    limits = {
        Kind.SIGN_UP: [_Limit(Kind.SIGN_UP, ("address",), SIGN_UPS)],
        Kind.MAIL: [
            _Limit(Kind.MAIL, ("account",), MAILS_FOR_ONE_ACCOUNT),
            _Limit(Kind.MAIL, ("address",), MAILS_FROM_ONE_ADDRESS),
        ],
        # Changing a password needs a session, so attempts from several addresses are the same person's.
        Kind.PASSWORD: [
            _Limit(Kind.PASSWORD, ("account",), max_attempts),
            _Limit(Kind.PASSWORD, ("address",), max_attempts * FROM_ONE_ADDRESS),
        ],
        Kind.SIGN_IN: [
            _Limit(Kind.SIGN_IN, ("account", "address"), max_attempts),
            _Limit(Kind.SIGN_IN, ("address",), max_attempts * FROM_ONE_ADDRESS),
            _Limit(Kind.SIGN_IN, ("account",), max_attempts * FOR_ONE_ACCOUNT),
            _Limit(Kind.SESSION, ("account",), SIGN_INS_FOR_ONE_ACCOUNT),
            _Limit(Kind.SESSION, ("address",), SIGN_INS_FROM_ONE_ADDRESS),
        ],
    }
    return limits[kind]


def _digest(text: str) -> str:
    return salted_hmac("recognizer.attempts", text.strip().casefold(), algorithm="sha256").hexdigest()[:32]
