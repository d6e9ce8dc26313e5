"""Personal tokens at the API's door: `Authorization: Bearer digits_…`. The framework is told of it in the settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.contrib.auth.models import AbstractBaseUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from recognizer.middleware import client_ip, manage_key_of
from recognizer.models import Scope, Token
from recognizer.services.identity import throttling, tokens
from recognizer.services.identity.actors import Actor

if TYPE_CHECKING:  # which the framework imports only after this file
    from rest_framework.views import APIView

# Some sites want Token instead of Bearer: tokens sent that way are rejected in words instead of being ignored.
OFFERS_TOKEN = re.compile(r"(?:^|,)\s*(?:bearer|token)\b", re.IGNORECASE)
# https://www.rfc-editor.org/rfc/rfc6750#section-2.1
CREDENTIALS = re.compile(r"(?:bearer|token) +(?P<key>[a-z0-9._~+/-]{1,200}=*)", re.IGNORECASE)
UNREADABLE = "The Authorization header cannot be read. Send one, as in `Authorization: Bearer digits_…`."


def bearer_token(request: Request) -> str | None:
    """Return the key in the Authorization header; "" if the header cannot be read, None if there is no token in it.

    Other schemes, such as the `Basic` of a proxy, are not for this site. A header that the web server could not decode
    arrives empty: its caller means to be somebody, and is not taken for an anonymous one.
    """
    header = request.META.get("HTTP_AUTHORIZATION")
    if header is None:
        return None
    header = header.strip(" \t")
    if match := CREDENTIALS.fullmatch(header):
        return match["key"]
    return "" if not header or not header.isascii() or OFFERS_TOKEN.search(header) else None


class TokenAuthentication(BaseAuthentication):
    """Whoever shows a token acts as its account, within its scopes, whatever cookies came along. A bad one is 401."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, Token] | None:
        key = bearer_token(request)
        if key is None:
            return None
        inner = request._request  # noqa: SLF001 - the framework's own way to Django's request
        try:
            token = _redeemed(key)
        except AuthenticationFailed:
            # The framework asks for the limit only afterwards, of those who are let in.
            throttling.count(Actor(address=client_ip(inner)), throttling.Kind.READ)
            raise
        inner.actor = Actor(
            user=token.user,
            scopes=frozenset(token.scopes),
            address=client_ip(inner),
            manage_key=manage_key_of(inner),
        )
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """The challenge of a 401 (RFC 6750)."""
        return 'Bearer realm="api"' if bearer_token(request) is None else 'Bearer realm="api", error="invalid_token"'


def _redeemed(key: str) -> Token:
    if not key:
        raise AuthenticationFailed(UNREADABLE)
    try:
        return tokens.authenticate(key)
    except tokens.BadTokenError as error:
        raise AuthenticationFailed(str(error)) from error


class InsufficientScope(PermissionDenied):
    """The token is good, but not for this."""

    default_code = "insufficient_scope"

    def __init__(self, scopes: tuple[Scope, ...]) -> None:
        names = " or ".join(scopes)
        super().__init__(f"This needs a token with the scope {names}.")
        self.auth_header = f'Bearer realm="api", error="insufficient_scope", scope="{" ".join(scopes)}"'


class HasTokenScope(BasePermission):
    """One of the scopes that the view asks for with this method. What an account may do is decided on the object."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed = needed_scopes(view, request.method)
        if needed and isinstance(request.auth, Token) and not request.actor.has_scope(*needed):
            raise InsufficientScope(needed)
        return True


def needed_scopes(view: APIView, method: str) -> tuple[Scope, ...] | None:
    """Of these a token must have one; (): any token will do; None: no token is meant to be used here.

    Views that differ from the rule, `read` to read and `submit` for all else, say so in `scopes`, by method.
    """
    if method not in view.allowed_methods:
        return ()  # answered with 405, whoever asks
    usual = (Scope.READ,) if method in SAFE_METHODS else (Scope.SUBMIT,)
    return getattr(view, "scopes", {}).get("GET" if method == "HEAD" else method, usual)
