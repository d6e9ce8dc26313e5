"""Sessions of accounts: how many browsers may be signed in with one account, and which end with a password.

Expired ones go hourly (`retention.clear_sessions`).
"""

from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import QuerySet

from recognizer.models import AccountSession

# A class may share one account; beyond this the oldest sessions end.
MAX_SESSIONS = 100


@transaction.atomic
def start(user: User, session_key: str) -> None:
    """Note that an account has signed in with this session; where it has too many, the oldest end."""
    AccountSession.objects.update_or_create(session_key=session_key, defaults={"user": user})
    _end(AccountSession.objects.filter(user=user).order_by("-id")[MAX_SESSIONS:])


@transaction.atomic
def keep_only(user: User, session_key: str) -> None:
    """End every session of an account but this one: its password has changed."""
    AccountSession.objects.update_or_create(session_key=session_key, defaults={"user": user})
    _end(AccountSession.objects.filter(user=user).exclude(session_key=session_key))


@transaction.atomic
def end_all(user: User) -> None:
    """End every session of an account."""
    _end(AccountSession.objects.filter(user=user))


def _end(rows: QuerySet[AccountSession]) -> None:
    keys = list(rows.values_list("session_key", flat=True))
    Session.objects.filter(session_key__in=keys).delete()
    AccountSession.objects.filter(session_key__in=keys).delete()


def delete_expired() -> int:
    """Delete the notes of sessions that are no more; return how many."""
    return AccountSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()[0]
