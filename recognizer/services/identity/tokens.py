"""Personal access tokens: created and deleted by a signed-in account, used by its programs.

See docs/adr/0005-api-tokens.md.
"""

import hashlib
import secrets
from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from recognizer.models import Scope, Token

from .actors import Actor
from .permissions import NotAllowedError
from .throttling import Kind, limit_rate

# Lets scanners recognise a key that leaked into a repository or a log.
PREFIX = "digits_"
MAX_TOKENS = 50
# Minimum time between two updates of `last_used`: a write for each request would cost more than most requests.
LAST_USE_INTERVAL = timedelta(minutes=5)


class TokenError(ValueError):
    """The input for a new token is invalid: `field` names the field, the message says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class BadTokenError(Exception):
    """The key is not valid; the message says why."""


def for_actor(actor: Actor) -> QuerySet[Token]:
    """Return the account's tokens, newest first, including expired ones.

    Raises:
        NotAllowedError: the actor has no account, or authenticated with a token.
    """
    return Token.objects.filter(user=_session_user(actor))


def scopes_for(actor: Actor) -> list[Scope]:
    """Return the scopes that the actor may give to a token. The actor must be signed in."""
    allowed = {Scope.REVIEW: actor.is_reviewer, Scope.OPERATE: actor.is_operator}
    return [scope for scope in Scope if allowed.get(scope, True)]


@limit_rate(Kind.CHANGE)
@transaction.atomic
def create(*, actor: Actor, name: str, scopes: Collection[str], days: int | None = None) -> tuple[Token, str]:
    """Create a token.

    Args:
        actor: the signed-in actor.
        name: the name of the token, unique among the account's tokens.
        scopes: the scopes of the token.
        days: its lifetime in days, at most TOKEN_MAX_DAYS; None: TOKEN_DAYS.

    Returns:
        The token, and its key, which is not stored and cannot be retrieved again.

    Raises:
        TokenError: the name is invalid or taken, the actor does not have the scopes, the lifetime is out of range, or
            the account has too many tokens.
        NotAllowedError: the actor has no account, or authenticated with a token.
    """
    user = _session_user(actor)
    own_tokens = Token.objects.filter(user=user)
    name = name.strip()
    max_length = Token._meta.get_field("name").max_length or 0  # noqa: SLF001 - documented API
    if not 1 <= len(name) <= max_length or not name.isprintable():
        raise TokenError("name", f"Give it a name of at most {max_length} characters.")
    if own_tokens.filter(name=name).exists():
        raise TokenError("name", f"You have a token {name} already. Delete it, or choose another name.")
    if own_tokens.count() >= MAX_TOKENS:
        raise TokenError("name", f"You have {MAX_TOKENS} tokens already. Delete one first.")
    days = settings.TOKEN_DAYS if days is None else days
    if not 1 <= days <= settings.TOKEN_MAX_DAYS:
        raise TokenError("days", f"A token works for 1 to {settings.TOKEN_MAX_DAYS} days.")
    key = PREFIX + secrets.token_urlsafe(32)
    token = Token(
        user=user,
        name=name,
        digest=_digest(key),
        scopes=_validate_scopes(actor, scopes),
        expires=timezone.now() + timedelta(days=days),
    )
    try:
        with transaction.atomic():
            token.save()
    except IntegrityError as error:  # created concurrently by another request
        raise TokenError("name", f"You have a token {name} already.") from error
    return token, key


def authenticate(key: str) -> Token:
    """Return the token with this key, with its account, and record its use to within LAST_USE_INTERVAL.

    Raises:
        BadTokenError: there is no such token, it has expired, or its account is inactive.
    """
    # The lookup is by hash, so its duration reveals nothing about a key.
    token = Token.objects.select_related("user").filter(digest=_digest(key)).first()
    if token is None:
        raise BadTokenError("This token is unknown, or it was deleted. Make a new one on the page Tokens.")
    if token.has_expired:
        raise BadTokenError(f"This token expired on {token.expires:%Y-%m-%d}. Make a new one on the page Tokens.")
    if not token.user.is_active:
        raise BadTokenError("The account of this token is switched off.")
    now = timezone.now()
    if token.last_used is None or token.last_used < now - LAST_USE_INTERVAL:
        Token.objects.filter(pk=token.pk).update(last_used=now)
    return token


@limit_rate(Kind.CHANGE)
def delete(*, actor: Actor, token: Token) -> None:
    """Revoke a token.

    Raises:
        NotAllowedError: the token belongs to another account, or the actor has no account or authenticated with a
            token.
    """
    if not for_actor(actor).filter(pk=token.pk).exists():
        raise NotAllowedError("You can delete only your own tokens.")
    token.delete()


def _validate_scopes(actor: Actor, scopes: Collection[str]) -> list[str]:
    """Return the scopes without duplicates, in the order of `Scope`."""
    allowed = [scope.value for scope in scopes_for(actor)]
    if not scopes:
        raise TokenError("scopes", f"Choose at least one of: {', '.join(allowed)}.")
    for scope in scopes:
        if scope not in allowed:
            raise TokenError("scopes", f"You cannot give {scope!r} to a token. Choose from: {', '.join(allowed)}.")
    return [scope for scope in allowed if scope in scopes]


def _session_user(actor: Actor) -> User:
    """Return the signed-in account.

    Raises:
        NotAllowedError: the actor has no account, or authenticated with a token.
    """
    if actor.user is None or actor.scopes is not None:
        raise NotAllowedError("Tokens are made, seen and deleted by people who are signed in, not with a token.")
    return actor.user


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
