"""Bearer token authentication: `Authorization: Bearer digits_…`, registered in DEFAULT_AUTHENTICATION_CLASSES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission

from recognizer.api.http.credentials import bearer_token
from recognizer.api.http.requests import actor_of, site_request
from recognizer.middleware import client_ip, manage_key_of
from recognizer.models import Scope, Token
from recognizer.services.identity import throttling, tokens
from recognizer.services.identity.actors import Actor

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from rest_framework.request import Request
    from rest_framework.views import APIView

    from recognizer.requests import SiteRequest

UNREADABLE = "The Authorization header cannot be read. Send one, as in `Authorization: Bearer digits_…`."


class TokenAuthentication(BaseAuthentication):
    """Bearer token authentication. Takes precedence over cookies; invalid tokens are rejected with 401."""

    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        """Return the token's account and the token, and set `request.actor` with the token's scopes."""
        token = authenticate_token(site_request(request))
        return None if token is None else (token.user, token)

    def authenticate_header(self, request: Request) -> str:
        """Return the `WWW-Authenticate` challenge of a 401 (RFC 6750)."""
        return 'Bearer realm="api"' if bearer_token(request) is None else InvalidToken.auth_header


class InvalidToken(AuthenticationFailed):
    """The token is unknown, expired or unreadable (401)."""

    auth_header = 'Bearer realm="api", error="invalid_token"'


def authenticate_token(request: SiteRequest) -> Token | None:
    """Return the token of the request, if any, and set `request.actor` with its scopes.

    Raises:
        InvalidToken: The token is unknown, expired or unreadable.
        ThrottledError: The caller has sent too many of these.
    """
    key = bearer_token(request)
    if key is None:
        return None
    try:
        if not key:
            raise tokens.BadTokenError(UNREADABLE)
        token = tokens.authenticate(key)
    except tokens.BadTokenError as error:
        # Throttles are checked only after authentication has succeeded.
        throttling.count(Actor(address=client_ip(request)), throttling.Kind.READ)
        raise InvalidToken(str(error)) from error
    request.actor = Actor(
        user=token.user,
        scopes=frozenset(token.scopes),
        address=client_ip(request),
        manage_key=manage_key_of(request),
    )
    return token


class InsufficientScope(PermissionDenied):
    """The token is valid but has none of the required scopes (403)."""

    default_code = "insufficient_scope"

    def __init__(self, scopes: tuple[Scope, ...]) -> None:
        names = " or ".join(scopes)
        super().__init__(f"This needs a token with the scope {names}.")
        self.auth_header = f'Bearer realm="api", error="insufficient_scope", scope="{" ".join(scopes)}"'


class HasTokenScope(BasePermission):
    """Requires that a token has one of the view's scopes. Services check the permissions of the account."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return True.

        Raises:
            InsufficientScope: The token has none of the required scopes.
        """
        required = required_scopes(view, request.method or "")
        if required and isinstance(request.auth, Token) and not actor_of(request).has_scope(*required):
            raise InsufficientScope(required)
        return True


def required_scopes(view: APIView, method: str) -> tuple[Scope, ...] | None:
    """Return the scopes of which a token needs one.

    The default is `read` for safe methods and `submit` for all others. Views override it by method in their attribute
    `scopes`.

    Returns:
        The scopes; an empty tuple if any token is accepted; None if the operation is not meant for tokens.
    """
    if method not in view.allowed_methods:
        return ()  # the response is 405 for every caller
    default = (Scope.READ,) if method in SAFE_METHODS else (Scope.SUBMIT,)
    scopes: dict[str, tuple[Scope, ...] | None] = getattr(view, "scopes", {})
    return scopes.get("GET" if method == "HEAD" else method, default)
