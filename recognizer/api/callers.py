"""Who calls the JSON API, and in which form they get their answer. The framework is told of it in the settings."""

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from rest_framework.authentication import SessionAuthentication
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from .authentication import shown_key

SITE_COOKIES = (settings.SESSION_COOKIE_NAME, settings.VISITOR_COOKIE, settings.CSRF_COOKIE_NAME)


def is_browser(request: Request) -> bool:
    """Whether the caller carries any cookie of the site: then another site may have sent it here, and CSRF counts.

    Whoever shows a token is a program, for no other site can make a browser show one.
    """
    return shown_key(request) is None and any(name in request.COOKIES for name in SITE_COOKIES)


class CookieAuthentication(SessionAuthentication):
    """The site's own cookies: an account's session, a visitor's key. A program without any is nobody, and welcome."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, None] | None:
        if not is_browser(request):
            return None
        self.enforce_csrf(request)
        user = request._request.user  # noqa: SLF001 - the framework's own way to Django's request
        return (user, None) if user.is_active else None


class OneRepresentation(DefaultContentNegotiation):
    """Every resource has one form, whatever `Accept` says; the content type of what is *sent* does matter."""

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 - the framework's signature
        renderers: list[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type
