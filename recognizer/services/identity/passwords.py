"""Password hashing: sign-in, sign-up and password change, with limits for its CPU time.

One hash takes some tenths of a second of CPU time. Each call is counted by `login_throttle` before it is made, whether
the password is right or wrong, and the number of concurrent hashes is bounded, with a share for each caller. A test
lists all calls of Django's hashing functions, so that none is added elsewhere.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth import authenticate as find_by_password
from django.contrib.auth.models import User
from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from recognizer.models import Token
from recognizer.services.lib.fair_slots import FairSlots

from . import account_names, login_throttle, users
from .actors import Actor

Kind = login_throttle.Kind

MAX_WAITING = 16
WAIT_SECONDS = 10

_slots = FairSlots(
    max(2, os.cpu_count() or 1),
    max_waiting=MAX_WAITING,
    busy="Many people are signing in right now. Wait a moment, then try again.",
)


class WrongPasswordError(ValueError):
    """The old password is wrong."""


@sensitive_variables()
def authenticate(*, name: str, password: str, actor: Actor) -> User | None:
    """Return the account with this name and password; None if one of them is wrong.

    Args:
        name: the name as it was typed; case and compatible characters make no difference.
        password: the password as it was typed.
        actor: the caller, identified by the address.

    Raises:
        login_throttle.TooManyAttemptsError: too many wrong passwords, or too many sign-ins.
        BusyError: too many passwords are being checked.
    """
    attempt = login_throttle.record_attempt(Kind.SIGN_IN, account=account_names.key_of(name), address=actor.address)
    account = account_names.find(name)
    with _hashing(actor):
        user = find_by_password(None, username=account.get_username() if account else name, password=password)
    if user is not None:
        login_throttle.reset(attempt)
    return user


@sensitive_variables()
def sign_up(*, name: str, password: str, email: str, actor: Actor) -> User:
    """Create an account for a visitor.

    Raises:
        login_throttle.TooManyAttemptsError: too many accounts from one address.
        BusyError: too many passwords are being hashed.
        ValueError: the name is taken or not allowed; the message says so.
    """
    login_throttle.record_attempt(Kind.SIGN_UP, address=actor.address)
    user = users.prepare_account(name)
    user.email = email
    with _hashing(actor):
        user.set_password(password)
    users.save_account(user)
    return user


@sensitive_variables()
def change(*, actor: Actor, user: User, old: str | None, new: str, keep_tokens: bool) -> int:
    """Set a new password and revoke the account's tokens.

    Args:
        actor: the caller.
        user: the account.
        old: the current password; None if the account has none, or if a mailed link replaces it.
        new: the new password.
        keep_tokens: whether the account's tokens stay valid.

    Returns:
        The number of revoked tokens.

    Raises:
        login_throttle.TooManyAttemptsError: too many attempts, right or wrong.
        BusyError: too many passwords are being hashed.
        WrongPasswordError: `old` is wrong.
    """
    login_throttle.record_attempt(Kind.PASSWORD, account=f"account:{user.pk}", address=actor.address)
    with _hashing(actor):
        if old is not None and not user.check_password(old):
            raise WrongPasswordError("This is not your password until now.")
        user.set_password(new)
    with transaction.atomic():
        user.save(update_fields=["password"])
        return 0 if keep_tokens else Token.objects.filter(user=user).delete()[0]


@contextmanager
def _hashing(actor: Actor) -> Iterator[None]:
    """Hold one of the slots for hashing a password."""
    with _slots.slot(actor.caller_key, seconds=WAIT_SECONDS):
        yield
