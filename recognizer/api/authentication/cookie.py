"""Who calls the JSON API by which cookies. The framework is told of it in the settings."""

from django.contrib.auth.models import AbstractBaseUser
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from recognizer.cookies import SITE_COOKIES
from recognizer.middleware import client_ip, manage_key_of
from recognizer.services.identity.actors import Actor

from .token import bearer_token


def is_browser(request: Request) -> bool:
    """Whether the caller carries any cookie of the site: then another site may have sent it here, and CSRF counts.

    Whoever shows a token is a program, for no other site can make a browser show one.
    """
    return bearer_token(request) is None and any(name in request.COOKIES for name in SITE_COOKIES)


class CsrfFailedError(PermissionDenied):
    """The CSRF token is missing or out of date: a script may renew its cookie and send the same again."""

    default_code = "csrf_failed"


class CookieAuthentication(SessionAuthentication):
    """The site's own cookies: an account's session, a visitor's key. A program without any is nobody, and welcome."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, None] | None:
        inner = request._request  # noqa: SLF001 - the framework's own way to Django's request
        if not is_browser(request):
            # Without a look for a session.
            inner.actor = Actor(address=client_ip(inner), manage_key=manage_key_of(inner))
            return None
        self.enforce_csrf(request)
        return (inner.user, None) if inner.user.is_active else None

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except PermissionDenied as error:
            raise CsrfFailedError(error.detail) from error
