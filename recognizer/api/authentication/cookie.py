"""Cookie-based authentication for the JSON API, registered in DEFAULT_AUTHENTICATION_CLASSES."""

from django.contrib.auth.models import AbstractBaseUser
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from recognizer.api.http.credentials import is_browser
from recognizer.api.http.requests import site_request
from recognizer.middleware import anonymous_actor


class CsrfFailedError(PermissionDenied):
    """The CSRF token is missing or expired. Scripts may renew the cookie and repeat the request."""

    default_code = "csrf_failed"


class CookieAuthentication(SessionAuthentication):
    """Session cookies of accounts and cookies of visitors. Clients without cookies are anonymous."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, None] | None:
        """Return the account of the session, if any, after the CSRF check."""
        if not is_browser(request):
            site_request(request).actor = anonymous_actor(request)
            return None
        account: tuple[AbstractBaseUser, None] | None = super().authenticate(request)
        if account is None:
            self.enforce_csrf(request)  # visitors too
        return account

    def enforce_csrf(self, request: Request) -> None:
        """Check the CSRF token.

        Raises:
            CsrfFailedError: The token is missing or wrong.
        """
        try:
            super().enforce_csrf(request)
        except PermissionDenied as error:
            raise CsrfFailedError(error.detail) from error
