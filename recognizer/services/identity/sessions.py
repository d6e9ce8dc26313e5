"""Sessions of accounts: their maximum number, and their end when the password changes.

Expired sessions are deleted hourly (`retention.clear_sessions`).
"""

from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import QuerySet

from recognizer.models import AccountSession

# High enough for a school class that shares one account; the oldest sessions beyond it are ended.
MAX_SESSIONS = 100


@transaction.atomic
def start(user: User, session_key: str) -> None:
    """Record that an account has signed in with this session, and end its oldest sessions above MAX_SESSIONS."""
    AccountSession.objects.update_or_create(session_key=session_key, defaults={"user": user})
    _end(AccountSession.objects.filter(user=user).order_by("-id")[MAX_SESSIONS:])


@transaction.atomic
def keep_only(user: User, session_key: str) -> None:
    """End all sessions of an account except this one, after its password has changed."""
    AccountSession.objects.update_or_create(session_key=session_key, defaults={"user": user})
    _end(AccountSession.objects.filter(user=user).exclude(session_key=session_key))


@transaction.atomic
def end_all(user: User) -> None:
    """End all sessions of an account."""
    _end(AccountSession.objects.filter(user=user))


def _end(rows: QuerySet[AccountSession]) -> None:
    keys = list(rows.values_list("session_key", flat=True))
    Session.objects.filter(session_key__in=keys).delete()
    AccountSession.objects.filter(session_key__in=keys).delete()


def delete_expired() -> int:
    """Delete the records of sessions that no longer exist, and return how many were deleted."""
    return AccountSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()[0]
