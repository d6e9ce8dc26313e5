"""How often somebody may try: passwords of one account, passwords from one address, new accounts, mails.

Counted in the database and not in the cache: without it nobody can sign in anyway, so there is no moment in which
guessing is free because the counter is away. A small rule of our own rather than django-axes: that brings a middleware,
a backend, three tables that hold names and addresses in clear, and 60 settings for what is one table here.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from recognizer.models import Attempt
from recognizer.services.lib.addresses import rate_key

Kind = Attempt.Kind

WINDOW = timedelta(minutes=15)
RETENTION = timedelta(days=1)
# Multiples of MAX_LOGIN_ATTEMPTS: higher limits for a shared address (a class, a household) and for one account that is
# tried from many addresses.
FROM_ONE_ADDRESS, FOR_ONE_ACCOUNT = 10, 5
# Right or wrong, a password costs the processor the same; a class that shares an account signs in once each.
SIGN_INS_FOR_ONE_ACCOUNT, SIGN_INS_FROM_ONE_ADDRESS = 60, 300
SIGN_UPS, MAILS_FROM_ONE_ADDRESS, MAILS_FOR_ONE_ACCOUNT = 60, 20, 3


class TooManyAttemptsError(RuntimeError):
    """Enough for now; the message says when to come back. `wait` are the seconds until then."""

    def __init__(self, wait: float) -> None:
        minutes = max(1, math.ceil(wait / 60))
        super().__init__(f"Too many tries. Wait {minutes} minute{'' if minutes == 1 else 's'}, then try again.")
        self.wait = wait


@dataclass(frozen=True, slots=True)
class _Limit:
    kind: Kind
    rows: Q
    most: int


def record_attempt(kind: Kind, *, account: str = "", address: str) -> Attempt:
    """Note a try before it is made, so that many at the same moment count too.

    Args:
        account: the name (or mail address) that was typed, whether there is such an account or not.
        address: where the try comes from.

    Raises:
        TooManyError: it must not be made.
    """
    now = timezone.now()
    Attempt.objects.filter(created__lt=now - RETENTION).delete()
    mine = Attempt.objects.create(kind=kind, account=_digest(account), address=_digest(rate_key(address)), created=now)
    recent = Attempt.objects.filter(created__gt=now - WINDOW)
    for limit in _limits(mine):
        # A try that is of another kind than what is counted is not among them itself.
        most = limit.most if limit.kind == kind else limit.most - 1
        counted = recent.filter(limit.rows, kind=limit.kind).order_by("-created")
        tries = counted.values_list("created", flat=True)[: most + 1]
        if len(tries) > most:
            mine.delete()  # it is not made, so that waiting is enough to be let in again
            raise TooManyAttemptsError((tries[most] + WINDOW - now).total_seconds())
    return mine


def reset(attempt: Attempt) -> None:
    """Note that the password was right: what this account mistyped from this address before is forgotten."""
    Attempt.objects.filter(kind=attempt.kind, account=attempt.account, address=attempt.address).delete()
    Attempt.objects.create(kind=Kind.SESSION, account=attempt.account, address=attempt.address, created=attempt.created)


def _limits(attempt: Attempt) -> list[_Limit]:
    account, address = Q(account=attempt.account), Q(address=attempt.address)
    if attempt.kind == Kind.SIGN_UP:
        return [_Limit(Kind.SIGN_UP, address, SIGN_UPS)]
    if attempt.kind == Kind.MAIL:
        return [
            _Limit(Kind.MAIL, account, MAILS_FOR_ONE_ACCOUNT),
            _Limit(Kind.MAIL, address, MAILS_FROM_ONE_ADDRESS),
        ]
    tries = settings.MAX_LOGIN_ATTEMPTS
    if attempt.kind == Kind.PASSWORD:
        # Who changes a password is signed in: another address is no other person.
        return [
            _Limit(Kind.PASSWORD, account, tries),
            _Limit(Kind.PASSWORD, address, tries * FROM_ONE_ADDRESS),
        ]
    return [
        _Limit(Kind.SIGN_IN, account & address, tries),
        _Limit(Kind.SIGN_IN, address, tries * FROM_ONE_ADDRESS),
        _Limit(Kind.SIGN_IN, account, tries * FOR_ONE_ACCOUNT),
        _Limit(Kind.SESSION, account, SIGN_INS_FOR_ONE_ACCOUNT),
        _Limit(Kind.SESSION, address, SIGN_INS_FROM_ONE_ADDRESS),
    ]


def _digest(text: str) -> str:
    return salted_hmac("recognizer.attempts", text.strip().casefold(), algorithm="sha256").hexdigest()[:32]
