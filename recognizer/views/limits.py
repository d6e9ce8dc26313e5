"""Rate limits of the pages: what reads is counted here, what changes something by the operations themselves."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse

from recognizer.middleware import is_api
from recognizer.services.identity import throttling
from recognizer.services.identity.login_throttle import TooManyAttemptsError
from recognizer.services.identity.quotas import QuotaError
from recognizer.services.identity.throttling import ThrottledError
from recognizer.services.lib.errors import BusyError

from .errors import error_page, limit_page

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Counted already: what was one too many, and tokens that are none.
COUNTED_STATUSES = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.UNAUTHORIZED)
# Asked by load balancers, monitoring and browsers on their own account.
UNCOUNTED_VIEWS = ("healthz", "readyz", "metrics", "robots", "favicon")


class ThrottleMiddleware:
    """Counts the pages that are read, and shows a page where an operation was refused for its limit.

    Also counts, of pages and API alike, what is refused before it reaches the operation that would count it. After
    ActorMiddleware and the messages, which the page needs. What the API reads is counted in `api.throttles`, once the
    token has been looked at.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_refusal = 400 <= response.status_code < 500 and response.status_code not in COUNTED_STATUSES
        if is_refusal and request.method not in SAFE_METHODS:
            throttling.count_refusal(request.actor)
        return response

    def process_view(self, request: HttpRequest, *_view: object) -> HttpResponse | None:
        match = request.resolver_match
        if is_api(request) or match.view_name in UNCOUNTED_VIEWS:
            return None
        is_safe = request.method in SAFE_METHODS
        try:
            throttling.count_request(request.actor, is_safe=is_safe)
            if match.app_name == "admin" and not is_safe:
                # The admin's operations are Django's own, which count nothing.
                throttling.count(request.actor, throttling.Kind.CHANGE)
        except ThrottledError as error:
            return limit_page(request, error)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, ThrottledError | TooManyAttemptsError | QuotaError):
            return limit_page(request, exception)
        if isinstance(exception, BusyError):
            return error_page(request, 503, retry_after=exception.wait)
        return None
