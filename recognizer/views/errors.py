"""Error pages: Django's error handlers (see digitsite.urls), pages for limits and for storage errors."""

import logging
import math
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.log import log_response
from django.views.decorators.csrf import requires_csrf_token

from recognizer.api.http.problems import UNAVAILABLE_SECONDS, problem_json
from recognizer.services.identity.account_tags import PageAccountError
from recognizer.services.identity.login_throttle import TooManyAttemptsError
from recognizer.services.identity.quotas import QuotaError
from recognizer.services.identity.throttling import ThrottledError
from recognizer.services.lib.errors import BusyError
from recognizer.services.lib.storage_errors import StorageError, StorageFullError, storage_error_of

log = logging.getLogger(__name__)

# Status -> title and advice.
PAGES = {
    400: (
        "That request makes no sense to us",
        "Go back and try again. If it keeps happening, start from the Draw page.",
    ),
    403: (
        "You may not see this",
        "It belongs to another person, or needs an account with more rights. Sign in with another one if you have it.",
    ),
    404: (
        "There is nothing here",
        "The address may be mistyped, or what was here has been deleted. Your own drawings are in History.",
    ),
    408: (
        "That took too long",
        "The connection was too slow or broke off, and nothing was saved. Go back and send it again.",
    ),
    410: (
        "This link does not work any more",
        "A sign-in link works once, and for one day. Ask an operator of this site for a new one.",
    ),
    413: (
        "That is too large",
        "Send fewer pictures at once, or smaller ones: cropping to the digit is best.",
    ),
    414: (
        "That address is too long",
        "Choose fewer filters, or start from the Draw page.",
    ),
    429: ("That was a lot at once", "Nothing is wrong. Wait a minute, then go on."),
    431: (
        "Your browser sends too much with each request",
        "Delete this site's cookies in the browser's settings, then reload the page.",
    ),
    503: ("The site is busy right now", "Nothing is wrong. Go back, wait a moment and try again."),
    507: (
        "There is no room left",
        "The site’s disk is full, and nothing was saved. Please tell its operator.",
    ),
}
STRANGER_TEXT = "It belongs to another person, or needs an account. Sign in if you have one."
SIGNED_OUT = (
    "You are signed out",
    "Nothing was changed. Sign in again, and then repeat the last step.",
)
OTHER_ACCOUNT = (
    "Another account is signed in now",
    "Nothing was changed. The page you came from belongs to another account: sign out and sign in with that one.",
)
CSRF_TITLE = "This form has expired"
CSRF_TEXT = (
    "For your safety a form works only from the page it belongs to. Go back, reload that page and send it again. "
    "If it still fails, allow cookies for this site."
)


def error_page(request: HttpRequest, status: int, *, retry_after: float | None = None) -> HttpResponse:
    """Return the error page for `status`, with a Retry-After header of `retry_after` seconds."""
    title, text = PAGES[status]
    response = _page(request, status, title, text)
    if retry_after is not None:
        response["Retry-After"] = str(math.ceil(retry_after))
    return response


def limit_page(request: HttpRequest, error: ThrottledError | TooManyAttemptsError | QuotaError) -> HttpResponse:
    """Return the 429 page for an operation that exceeded a limit."""
    title, _ = PAGES[429]
    response = _page(request, 429, title, f"{error} Nothing was changed.")
    response["Retry-After"] = str(math.ceil(error.wait))
    return response


def _page(request: HttpRequest, status: int, title: str, text: str, *, sign_in: str | None = None) -> HttpResponse:
    context = {"status": status, "title": title, "text": text, "sign_in": sign_in}
    return render(request, "recognizer/error.html", context, status=status)


@requires_csrf_token
def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handle SuspiciousOperation: the exception's own status, or 413 for too many files or fields, or 400."""
    too_large = isinstance(exception, RequestDataTooBig | TooManyFilesSent)
    return error_page(request, 413 if too_large else getattr(exception, "status", 400))


@requires_csrf_token
def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - required by Django
    """Handle PermissionDenied; an anonymous visitor gets a link to sign in."""
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return error_page(request, 403)
    title, _ = PAGES[403]
    return _page(request, 403, title, STRANGER_TEXT, sign_in=_sign_in_url(request))


def page_account_error(request: HttpRequest, error: PageAccountError) -> HttpResponse:
    """Return the page for a form whose account is no longer signed in."""
    if error.status == 401:
        title, text = SIGNED_OUT
        return _page(request, 401, title, text, sign_in=_sign_in_url(request))
    title, text = OTHER_ACCOUNT
    return _page(request, error.status, title, text)


def _sign_in_url(request: HttpRequest) -> str:
    """Return the URL of the sign-in page, leading back to this page or, for a form, to the page with the form."""
    if request.method in ("GET", "HEAD"):
        return redirect_to_login(request.get_full_path()).url
    referrer = urlsplit(request.headers.get("Referer", ""))
    path = referrer._replace(scheme="", netloc="", fragment="").geturl()
    is_own = referrer.netloc == request.get_host() and url_has_allowed_host_and_scheme(path, None)
    return redirect_to_login(path if is_own else reverse("draw")).url


@requires_csrf_token
def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - required by Django
    """Handle Http404."""
    return error_page(request, 404)


@requires_csrf_token
def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - required by Django
    """Handle a failed CSRF check: a problem document for scripts, a page for forms."""
    if not request.accepts("text/html"):
        # The site's scripts renew the cookie and repeat the request.
        return problem_json(403, CSRF_TITLE, code="csrf_failed")
    return _page(request, 403, CSRF_TITLE, CSRF_TEXT)


def server_error(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - see below
    """Handle unexpected errors. Rendered without the request: its session, account or database may be broken."""
    error = sys.exc_info()[1]
    if (storage := storage_error_of(error)) is not None:
        return storage_page(storage)
    is_database = isinstance(error, OperationalError | InterfaceError)  # unreachable or restarting
    status = 503 if is_database else 500
    headers = {"Retry-After": str(UNAVAILABLE_SECONDS)} if is_database else {}
    return HttpResponse(render_to_string("500.html", {"status": status}), status=status, headers=headers)


def storage_page(refusal: StorageError) -> HttpResponse:
    """Return the page for a full or unwritable storage. It uses no session, which could not be stored either."""
    status = 507 if isinstance(refusal, StorageFullError) else 503
    page = render_to_string("500.html", {"status": status, "title": "Nothing can be saved here now", "text": refusal})
    response = HttpResponse(page, status=status, headers={"Retry-After": str(refusal.wait)})
    # A response that was logged this way is not logged again, with a traceback, by Django's handler.
    log_response("%s: %s", refusal.code, refusal.__cause__, response=response, logger=log, level="critical")
    return response


class ErrorPageMiddleware:
    """Return a page for errors of storage, limits and capacity.

    The API has its own exception handler (recognizer.api.http.problems).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; errors are handled in `process_exception`."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the page for the error, or None for other exceptions."""
        if (storage := storage_error_of(error)) is not None:
            return storage_page(storage)
        if isinstance(error, ThrottledError | TooManyAttemptsError | QuotaError):
            return limit_page(request, error)
        return error_page(request, 503, retry_after=error.wait) if isinstance(error, BusyError) else None
