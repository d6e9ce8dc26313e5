"""Bearer token authentication: `Authorization: Bearer digits_…`, registered in DEFAULT_AUTHENTICATION_CLASSES."""

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from recognizer.api.http.credentials import bearer_token
from recognizer.api.http.requests import site_request
from recognizer.middleware import client_ip, manage_key_of
from recognizer.models import Token
from recognizer.requests import SiteRequest
from recognizer.services.identity import throttling, tokens
from recognizer.services.identity.actors import Actor

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
