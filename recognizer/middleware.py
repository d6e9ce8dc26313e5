"""What every request gets: an id, a log line and a place in the metrics; headers for browsers; and its `actor`."""

import logging
import time
from collections.abc import Callable

from csp.utils import build_policy
from django.conf import settings
from django.contrib.messages.middleware import MessageMiddleware
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from recognizer.cookies import read_visitor, set_visitor
from recognizer.services.identity.actors import Actor
from recognizer.services.lib import request_context
from recognizer.services.ops import metrics

log = logging.getLogger("recognizer.requests")

# Path and query string, and all headers together.
MAX_ADDRESS_BYTES = 8 * 1024
MAX_HEADER_BYTES = 32 * 1024
# Asked every few seconds by programs, or many to a page: in the log only for who looks closely.
QUIET_VIEWS = ("healthz", "readyz", "metrics", "static", "api-submission-image", "api-submission-pixels")
# Nothing here needs the browser's own devices; a photo comes through a file input, which asks by itself.
# https://www.w3.org/TR/permissions-policy/
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        *("accelerometer", "browsing-topics", "camera", "display-capture", "geolocation", "gyroscope", "hid"),
        *("magnetometer", "microphone", "midi", "payment", "publickey-credentials-get", "serial", "usb"),
    )
)


class RequestMiddleware:
    """The outermost one: it sees every request and the final answer, whoever gave it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        request_id, trace = request_context.begin(
            request.headers.get("X-Request-ID", "") if settings.BEHIND_PROXY else ""
        )
        try:
            response = self.get_response(request)
            seconds = time.perf_counter() - started
            view = _view_of(request)
            metrics.count_request(method=request.method, view=view, status=response.status_code, seconds=seconds)
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
            request_context.end(trace)
        response["X-Request-ID"] = request_id
        response.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        # Pictures and answers are not for pages of other sites to show; CORS, where it is allowed, is not concerned.
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        _limit_caching(request, response)
        return response


class PolicyMiddleware:
    """Tells browsers what a page may load, unless the answer itself says so. It is written once: the same for all."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.policy = build_policy()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not (settings.DEBUG and response.status_code in (404, 500)):  # Django's own pages have inline styles
            response.setdefault("Content-Security-Policy", self.policy)
        return response


class AddressTooLongError(SuspiciousOperation):
    """The path and the query string are longer than any page or endpoint needs."""

    status = 414


class HeadersTooLargeError(SuspiciousOperation):
    """The headers are larger than browsers and programs send."""

    status = 431


class RequestLimitsMiddleware:
    """Refuses addresses and headers that are larger than anything here needs, before anything reads them.

    Bodies are bounded by the receiver (digitsite/asgi.py) and by each view of the API (`ApiView.max_body_bytes`).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        meta = request.META
        if len(request.path_info) + len(meta.get("QUERY_STRING", "")) > MAX_ADDRESS_BYTES:
            raise AddressTooLongError(f"The address has more than {MAX_ADDRESS_BYTES} bytes.")
        if sum(len(value) for name, value in meta.items() if name.startswith("HTTP_")) > MAX_HEADER_BYTES:
            raise HeadersTooLargeError(f"The headers have more than {MAX_HEADER_BYTES} bytes.")
        return self.get_response(request)


class NoNulMiddleware:
    """Turns away text with NUL in it, which nobody types, and which PostgreSQL refuses with an error of ours.

    After the CSRF check, which has read the form. The API has serializers and filters that look by themselves.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: object) -> None:
        if is_api(request):
            return
        fields = [*request.GET.lists(), *(request.POST.lists() if request.method == "POST" else ())]
        if "\0" in request.path_info or any("\0" in value for _, values in fields for value in values):
            raise SuspiciousOperation("NUL in the address or in a field.")


class PageMessageMiddleware(MessageMiddleware):
    """What pages tell once, on the page after. The API tells nothing so, and does not look for it."""

    def process_request(self, request: HttpRequest) -> None:
        if not is_api(request):
            super().process_request(request)


def is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def _view_of(request: HttpRequest) -> str:
    """The name of the view, never the path, which may hold keys and has no end of values."""
    match = request.resolver_match
    if match is not None:
        return match.view_name
    return "static" if request.path_info.startswith(f"/{settings.STATIC_URL.strip('/')}/") else "none"


def _limit_caching(request: HttpRequest, response: HttpResponse) -> None:
    """Keep answers that depend on who asks out of shared caches; what anyone may keep says `public` itself."""
    is_json = is_api(request)
    if "Cache-Control" not in response.headers:
        # A page may be kept by its own browser, which asks again before it shows it: Back brings a drawing back.
        response.headers["Cache-Control"] = "private, no-store" if is_json else "private, no-cache"
    if "public" not in response.headers["Cache-Control"]:
        patch_vary_headers(response, ("Cookie", "Authorization") if is_json else ("Cookie",))


def client_ip(request: HttpRequest) -> str:
    """Return the client's address; behind a proxy `ProxyMiddleware` has put it there."""
    return request.META.get("REMOTE_ADDR", "")


def manage_key_of(request: HttpRequest) -> str:
    """Return the key of a submission that was sent without an account, or ""."""
    return request.META.get("HTTP_X_MANAGE_KEY", "")


def _actor_of(request: HttpRequest) -> Actor:
    user = request.user if request.user.is_authenticated else None
    visitor, is_renamed = read_visitor(request)
    if is_renamed:
        request.new_visitor = visitor
    return Actor(user=user, visitor=visitor, address=client_ip(request), manage_key=manage_key_of(request))


def ensure_visitor(request: HttpRequest) -> Actor:
    """The request's actor; a stranger becomes a visitor, whose key the response will carry in a cookie."""
    if not request.actor.is_known:
        request.actor = request.actor.with_new_visitor()
        request.new_visitor = request.actor.visitor
    return request.actor


class ActorMiddleware:
    """After AuthenticationMiddleware. The actor is worked out only when somebody asks for it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.actor = SimpleLazyObject(lambda: _actor_of(request))
        response = self.get_response(request)
        visitor = getattr(request, "new_visitor", "")
        if visitor:
            set_visitor(response, visitor)
        return response
