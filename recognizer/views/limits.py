"""Throttling middleware: counts page reads and rejected changes. Operations count accepted changes themselves."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpResponse

from recognizer.middleware import is_api
from recognizer.requests import SiteRequest
from recognizer.services.identity import throttling
from recognizer.services.identity.throttling import ThrottledError

from .errors import limit_page

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Counted elsewhere: throttled requests and invalid tokens.
COUNTED_STATUSES = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.UNAUTHORIZED)
# Requested automatically by load balancers, monitoring and browsers.
UNCOUNTED_VIEWS = ("healthz", "readyz", "metrics", "robots", "favicon")


class ThrottleMiddleware:
    """Count page requests against the rate limits, and show the 429 page when a read exceeds its limit.

    Also counts changes, of pages and of the API, that are rejected before the operation that would count them. Runs
    after `ActorMiddleware` and the message middleware, which the page needs. Reads of the API are counted in
    `recognizer.api.http.throttles`, after the token has been checked.
    """

    def __init__(self, get_response: Callable[[SiteRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: SiteRequest) -> HttpResponse:
        """Count rejected changes."""
        response = self.get_response(request)
        is_refusal = 400 <= response.status_code < 500 and response.status_code not in COUNTED_STATUSES
        if is_refusal and request.method not in SAFE_METHODS:
            throttling.count_refusal(request.actor)
        return response

    def process_view(self, request: SiteRequest, *_view: object) -> HttpResponse | None:
        """Count the request, or return the 429 page if the limit is exceeded."""
        match = request.resolver_match
        if match is None or is_api(request) or match.view_name in UNCOUNTED_VIEWS:
            return None
        is_safe = request.method in SAFE_METHODS
        try:
            throttling.count_request(request.actor, is_safe=is_safe)
            if match.app_name == "admin" and not is_safe:
                # Operations of Django's admin count nothing themselves.
                throttling.count(request.actor, throttling.Kind.CHANGE)
        except ThrottledError as error:
            return limit_page(request, error)
        return None
