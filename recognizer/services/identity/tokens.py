"""Personal tokens: made and deleted by a signed-in account, shown by its programs.

django-rest-knox was looked at: it
deletes what has expired while it reads, fetches every token of the account for each request, and fails on a key that is
not UTF-8; names, scopes and the last use would have been ours all the same.
"""

import hashlib
import secrets
from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from recognizer.models import Scope, Token

from .actors import OPERATE, REVIEW, Actor
from .permissions import NotAllowedError
from .throttling import Kind, limit_rate

# So that a key that leaked into a repository or a log can be recognised for what it is.
PREFIX = "digits_"
MAX_TOKENS = 50
# The last use is written at most so often: a write for each request would cost more than most requests.
LAST_USE_INTERVAL = timedelta(minutes=5)

NEEDED_PERMISSIONS = {Scope.REVIEW: REVIEW, Scope.OPERATE: OPERATE}


class TokenError(ValueError):
    """A token cannot be made like this; `field` says what is wrong, the message why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class BadTokenError(Exception):
    """A key that was shown opens nothing; the message says why."""


def for_actor(actor: Actor) -> QuerySet[Token]:
    """The account's tokens, the newest first, expired ones included.

    Raises:
        NotAllowedError: nobody is signed in, or they came with a token themselves.
    """
    _check_is_signed_in(actor)
    return Token.objects.filter(user=actor.user)


def scopes_for(actor: Actor) -> list[Scope]:
    """Which scopes this person may give to a token."""
    return [one for one in Scope if one not in NEEDED_PERMISSIONS or actor.user.has_perm(NEEDED_PERMISSIONS[one])]


@limit_rate(Kind.CHANGE)
@transaction.atomic
def create(*, actor: Actor, name: str, scopes: Collection[str], days: int | None = None) -> tuple[Token, str]:
    """A new token and its key, which cannot be had again.

    Args:
        days: how long it works; TOKEN_DAYS unless given, at most TOKEN_MAX_DAYS.

    Raises:
        TokenError: no name or one that is taken, scopes that the person does not have, an impossible time, too many.
        NotAllowedError: nobody is signed in, or they came with a token themselves.
    """
    mine = for_actor(actor)
    name = name.strip()
    longest = Token._meta.get_field("name").max_length  # noqa: SLF001 - public, for all its underscore
    if not 1 <= len(name) <= longest or not name.isprintable():
        raise TokenError("name", f"Give it a name of at most {longest} characters.")
    if mine.filter(name=name).exists():
        raise TokenError("name", f"You have a token {name} already. Delete it, or choose another name.")
    if mine.count() >= MAX_TOKENS:
        raise TokenError("name", f"You have {MAX_TOKENS} tokens already. Delete one first.")
    days = settings.TOKEN_DAYS if days is None else days
    if not 1 <= days <= settings.TOKEN_MAX_DAYS:
        raise TokenError("days", f"A token works for 1 to {settings.TOKEN_MAX_DAYS} days.")
    key = PREFIX + secrets.token_urlsafe(32)
    token = Token(
        user=actor.user,
        name=name,
        digest=_digest(key),
        scopes=_checked(actor, scopes),
        expires=timezone.now() + timedelta(days=days),
    )
    try:
        with transaction.atomic():
            token.save()
    except IntegrityError as error:  # made at the same moment in another window
        raise TokenError("name", f"You have a token {name} already.") from error
    return token, key


def authenticate(key: str) -> Token:
    """The token of this key, with its account. That it was used is noted, to within some minutes.

    Raises:
        BadTokenError: there is none, it has expired, or its account is switched off.
    """
    # Looked up by its hash: how long that takes says nothing about any key.
    token = Token.objects.select_related("user").filter(digest=_digest(key)).first()
    if token is None:
        raise BadTokenError("This token is unknown, or it was deleted. Make a new one on the page Tokens.")
    if token.has_expired:
        raise BadTokenError(f"This token expired on {token.expires:%Y-%m-%d}. Make a new one on the page Tokens.")
    if not token.user.is_active:
        raise BadTokenError("The account of this token is switched off.")
    _note_use(token)
    return token


@limit_rate(Kind.CHANGE)
def delete(*, actor: Actor, token: Token) -> None:
    """From now on the token opens nothing.

    Raises:
        NotAllowedError: it is somebody else's, nobody is signed in, or they came with a token themselves.
    """
    if not for_actor(actor).filter(pk=token.pk).exists():
        raise NotAllowedError("You can delete only your own tokens.")
    token.delete()


def _note_use(token: Token) -> None:
    now = timezone.now()
    if token.last_used is None or token.last_used < now - LAST_USE_INTERVAL:
        Token.objects.filter(pk=token.pk).update(last_used=now)


def _checked(actor: Actor, scopes: Collection[str]) -> list[str]:
    """The scopes in their usual order, each once."""
    allowed = [one.value for one in scopes_for(actor)]
    if not scopes:
        raise TokenError("scopes", f"Choose at least one of: {', '.join(allowed)}.")
    for one in scopes:
        if one not in allowed:
            raise TokenError("scopes", f"You cannot give {one!r} to a token. Choose from: {', '.join(allowed)}.")
    return [one for one in allowed if one in scopes]


def _check_is_signed_in(actor: Actor) -> None:
    if actor.user is None or actor.scopes is not None:
        raise NotAllowedError("Tokens are made, seen and deleted by people who are signed in, not with a token.")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
