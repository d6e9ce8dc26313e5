"""Passwords: everything that hashes one, and how often it may.

One hash takes some tenths of a second of a processor. Each call is counted in `attempts` before it is made, whether the
password is right or wrong, and only so many are computed at once, with a share for each caller. A test lists the calls
in the code, so that none comes about elsewhere.
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
    """The old password is not the one that was typed."""


@sensitive_variables()
def authenticate(*, name: str, password: str, actor: Actor) -> User | None:
    """Return the account of that name and password; None where one of them is wrong.

    Args:
        name: as it was typed; capitals and compatible characters make no difference.
        actor: who asks, by their address.

    Raises:
        attempts.TooManyError: too many wrong passwords, or too many sign-ins.
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
    """Make an account for the person who asks for it.

    Raises:
        attempts.TooManyError: too many accounts from one address.
        BusyError: too many passwords are being hashed.
        ValueError: the name is taken or cannot be one; the message says so.
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
    """Set a new password and end the account's tokens.

    Args:
        old: the password until now; None where the account has none, or a mailed link stands for it.
        keep_tokens: the person wants programs to go on with the tokens that they have.

    Returns:
        How many tokens ended.

    Raises:
        attempts.TooManyError: too many tries, right or wrong.
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
    """Hold one of the slots in which passwords are hashed."""
    with _slots.slot(actor.share_key, seconds=WAIT_SECONDS):
        yield
