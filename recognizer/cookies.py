"""Cookies whose names contain the id of the site (`SITE_ID`), and support for the cookie names of 0.9.0.

Browsers send the cookies of a host to all of its ports. With common names, two sites on one host signed each other's
users out. A cookie with the old name is accepted if this site issued it, and issued again under the new name. The old
cookie is not deleted, because it may belong to another site, and because a rollback to 0.9.0 needs it.

Remove the old names one year after the release of 0.10.0: no browser keeps such a cookie for longer.
"""

from collections.abc import Callable
from typing import Literal, cast

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage
from django.http import HttpRequest, HttpResponse

OLD_SESSION_COOKIE = "sessionid"
OLD_CSRF_COOKIE = "csrftoken"
OLD_VISITOR_COOKIE = "visitor"
VISITOR_SALT = "recognizer.visitor"
# A client that sends any of these is a browser.
SITE_COOKIES = (
    *(settings.SESSION_COOKIE_NAME, settings.VISITOR_COOKIE, settings.CSRF_COOKIE_NAME),
    *(OLD_SESSION_COOKIE, OLD_VISITOR_COOKIE, OLD_CSRF_COOKIE),
)


class OldCookieMiddleware:
    """Accept sessions and CSRF secrets under their old names.

    Place it between Django's session and CSRF middlewares.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Replace the session or the CSRF secret if only the old cookie was sent, and set the new cookie."""
        cookies = request.COOKIES
        session_key = None if settings.SESSION_COOKIE_NAME in cookies else cookies.get(OLD_SESSION_COOKIE)
        csrf_secret = None if settings.CSRF_COOKIE_NAME in cookies else cookies.get(OLD_CSRF_COOKIE)
        if session_key:
            request.session = type(request.session)(session_key)
        if csrf_secret:
            cookies[settings.CSRF_COOKIE_NAME] = csrf_secret
        response = self.get_response(request)
        # Reading the session drops a key that this site did not issue: it belongs to another site.
        if session_key and request.session.accessed and not request.session.is_empty():
            request.session.modified = True
        if csrf_secret and settings.CSRF_COOKIE_NAME not in response.cookies:
            # The same secret, so that forms of pages that were open during the upgrade still work.
            response.set_cookie(
                settings.CSRF_COOKIE_NAME,
                csrf_secret,
                max_age=settings.CSRF_COOKIE_AGE,
                secure=settings.CSRF_COOKIE_SECURE,
                samesite=cast("Literal['Lax']", settings.CSRF_COOKIE_SAMESITE),  # a string in Django's stubs
            )
        return response


class MessageCookieStorage(CookieStorage):
    """Django's cookie storage of messages, with a cookie name of this site."""

    cookie_name = f"messages_{settings.SITE_ID}"


class MessageStorage(FallbackStorage):
    """Django's default storage of messages, with a cookie name of this site."""

    storage_classes = (MessageCookieStorage, SessionStorage)


def read_visitor(request: HttpRequest) -> tuple[str, bool]:
    """Return the key of the visitor's signed cookie, or "", and whether it came under the old name."""
    for name in (settings.VISITOR_COOKIE, OLD_VISITOR_COOKIE):
        visitor = request.get_signed_cookie(name, default="", salt=VISITOR_SALT, max_age=settings.VISITOR_COOKIE_AGE)
        if visitor:
            return visitor, name == OLD_VISITOR_COOKIE
    return "", False


def set_visitor(response: HttpResponse, visitor: str) -> None:
    """Set the visitor's signed cookie; it lasts a year."""
    response.set_signed_cookie(
        settings.VISITOR_COOKIE,
        visitor,
        salt=VISITOR_SALT,
        max_age=settings.VISITOR_COOKIE_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
