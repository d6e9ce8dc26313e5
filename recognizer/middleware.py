"""Request middleware: request id, access log, metrics, security headers, request limits and `request.actor`."""

import logging
import time
from collections.abc import Callable
from typing import cast

from csp.utils import build_policy
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from recognizer.cookies import read_visitor, set_visitor
from recognizer.requests import SiteRequest
from recognizer.services.identity.actors import Actor
from recognizer.services.lib import request_context
from recognizer.services.ops import metrics

log = logging.getLogger("recognizer.requests")

# Path and query string.
MAX_ADDRESS_BYTES = 8 * 1024
# All headers together.
MAX_HEADER_BYTES = 32 * 1024
# Requested every few seconds by programs, or many times by a page; logged at DEBUG level.
QUIET_VIEWS = ("healthz", "readyz", "metrics", "static", "api-submission-image", "api-submission-pixels")
# The site uses no device APIs. A photo comes through a file input, which needs no permission.
# https://www.w3.org/TR/permissions-policy/
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        *("accelerometer", "browsing-topics", "camera", "display-capture", "geolocation", "gyroscope", "hid"),
        *("magnetometer", "microphone", "midi", "payment", "publickey-credentials-get", "serial", "usb"),
    )
)


class RequestMiddleware:
    """Request id, access log, metrics and headers. The outermost middleware, so that it covers every response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle the request, log it and complete the headers."""
        started = time.perf_counter()
        request_id, token = request_context.begin(
            request.headers.get("X-Request-ID", "") if settings.BEHIND_PROXY else ""
        )
        try:
            response = self.get_response(request)
            seconds = time.perf_counter() - started
            view = _view_of(request)
            metrics.count_request(method=request.method or "", view=view, status=response.status_code, seconds=seconds)
            level = logging.DEBUG if view in QUIET_VIEWS else logging.INFO
            if log.isEnabledFor(level):
                log.log(
                    level,
                    "answered",
                    extra={
                        "method": request.method if request.method in metrics.METHODS else "other",
                        "view": view,
                        "status": response.status_code,
                        "ms": round(seconds * 1000, 1),
                    },
                )
        finally:
            request_context.end(token)
        response["X-Request-ID"] = request_id
        response.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        # Pages of other sites may not embed images or responses. Does not affect CORS where it is allowed.
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        _limit_caching(request, response)
        return response


class PolicyMiddleware:
    """Adds the Content-Security-Policy to responses without one. The policy is built once."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.policy = build_policy()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Add the policy, if the response has none."""
        response = self.get_response(request)
        if not (settings.DEBUG and response.status_code in (404, 500)):  # Django's debug pages have inline styles
            response.setdefault("Content-Security-Policy", self.policy)
        return response


class AddressTooLongError(SuspiciousOperation):
    """The path and the query string are longer than any page or endpoint needs."""

    status = 414


class HeadersTooLargeError(SuspiciousOperation):
    """The headers are larger than browsers and programs send."""

    status = 431


class RequestLimitsMiddleware:
    """Rejects URLs and headers that are larger than any valid request, before anything reads them.

    The ASGI application (digitsite/asgi.py) and the views of the API (`ApiView.max_body_bytes`) limit bodies.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Check the sizes.

        Raises:
            AddressTooLongError: Path and query string are too long (414).
            HeadersTooLargeError: The headers are too large (431).
        """
        meta = request.META
        if len(request.path_info) + len(meta.get("QUERY_STRING", "")) > MAX_ADDRESS_BYTES:
            raise AddressTooLongError(f"The address has more than {MAX_ADDRESS_BYTES} bytes.")
        if sum(len(value) for name, value in meta.items() if name.startswith("HTTP_")) > MAX_HEADER_BYTES:
            raise HeadersTooLargeError(f"The headers have more than {MAX_HEADER_BYTES} bytes.")
        return self.get_response(request)


class NoNulMiddleware:
    """Rejects text with NUL characters, for which PostgreSQL would raise an error.

    Runs after the CSRF check, which has read the form. Serializers and filters of the API check their own input.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle the request; the check is in `process_view`."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_args: object) -> None:
        """Check path, query parameters and form fields of a page.

        Raises:
            SuspiciousOperation: One of them contains NUL.
        """
        if is_api(request):
            return
        fields = [*request.GET.lists(), *(request.POST.lists() if request.method == "POST" else ())]
        if "\0" in request.path_info or any("\0" in value for _, values in fields for value in values):
            raise SuspiciousOperation("NUL in the address or in a field.")


def is_api(request: HttpRequest) -> bool:
    """Return whether the path belongs to the JSON API."""
    return request.path_info.startswith("/api/")


def _view_of(request: HttpRequest) -> str:
    """Return the name of the view. The path may contain keys and is unbounded, so it is not logged."""
    match = request.resolver_match
    if match is not None:
        return match.view_name
    return "static" if request.path_info.startswith(f"/{settings.STATIC_URL.strip('/')}/") else "none"


def _limit_caching(request: HttpRequest, response: HttpResponse) -> None:
    """Keep responses that depend on the client out of shared caches. Other responses set `public` themselves."""
    is_json = is_api(request)
    if "Cache-Control" not in response.headers:
        # Browsers may cache a page and revalidate it. The Back button then restores a drawing.
        response.headers["Cache-Control"] = "private, no-store" if is_json else "private, no-cache"
    if "public" not in response.headers["Cache-Control"]:
        patch_vary_headers(response, ("Cookie", "Authorization") if is_json else ("Cookie",))


def client_ip(request: HttpRequest) -> str:
    """Return the client's address. Behind a proxy `ProxyMiddleware` has set it."""
    return str(request.META.get("REMOTE_ADDR", ""))


def manage_key_of(request: HttpRequest) -> str:
    """Return the manage key of the request, or ""."""
    return str(request.META.get("HTTP_X_MANAGE_KEY", ""))


def anonymous_actor(request: HttpRequest) -> Actor:
    """Return the actor of a request without credentials, without loading the session."""
    return Actor(address=client_ip(request), manage_key=manage_key_of(request))


def _actor_of(request: SiteRequest) -> Actor:
    user = request.user if request.user.is_authenticated else None
    visitor, is_renamed = read_visitor(request)
    if is_renamed:
        request.new_visitor = visitor
    return Actor(user=user, visitor=visitor, address=client_ip(request), manage_key=manage_key_of(request))


def ensure_visitor(request: SiteRequest) -> Actor:
    """Return the request's actor. An anonymous one becomes a new visitor, whose key the response sets as a cookie."""
    if not request.actor.is_known:
        request.actor = request.actor.with_new_visitor()
        request.new_visitor = request.actor.visitor
    return request.actor


class ActorMiddleware:
    """Sets `request.actor`, evaluated on first use. Must come after AuthenticationMiddleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set the actor, and the cookie of a new visitor."""
        site_request = cast("SiteRequest", request)
        site_request.actor = cast("Actor", SimpleLazyObject(lambda: _actor_of(site_request)))
        response = self.get_response(request)
        visitor = getattr(request, "new_visitor", "")
        if visitor:
            set_visitor(response, visitor)
        return response
