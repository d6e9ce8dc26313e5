"""Error responses for requests whose body the web server could not receive (see digitsite/server)."""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse

from recognizer.api.http.problems import DETAILS, problem_json
from recognizer.middleware import is_api

from .errors import error_page

# WSGI environ key in which the web server puts the error code; the body is empty then.
ENVIRON_KEY = "digits.receive_error"


@dataclass(frozen=True, slots=True)
class ReceiveError:
    """Error response for a failed receipt.

    Attributes:
        status: HTTP status code.
        detail: Text for the client.
        retry_after: Seconds after which the same request may succeed; None if it cannot.
    """

    status: int
    detail: str
    retry_after: int | None = None


RECEIVE_ERRORS = {
    "body_timeout": ReceiveError(408, "The request came too slowly, so it was given up. Please send it again.", 1),
    "body_too_large": ReceiveError(413, DETAILS[413]),
    "busy": ReceiveError(503, "Many large requests are being received right now. Please try again in a moment.", 2),
    "storage_unavailable": ReceiveError(503, "This site cannot write to its storage. Please tell its operator.", 60),
    "storage_full": ReceiveError(507, "The disk of this site is full. Please tell its operator.", 60),
}


class ReceiveErrorMiddleware:
    """Return the web server's receive error before any other code reads the body."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return a page or a problem document if the environ has a receive error."""
        code = request.META.get(ENVIRON_KEY)
        if code is None:
            return self.get_response(request)
        error = RECEIVE_ERRORS[code]
        if is_api(request):
            response: HttpResponse = problem_json(error.status, error.detail, code=code)
        else:
            response = error_page(request, error.status)
        if error.retry_after is not None:
            response["Retry-After"] = str(error.retry_after)
        return response
