"""Answers to requests whose body the web server did not receive (digitsite/server): pages or problem documents."""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse, JsonResponse

from recognizer.api.http.problems import CONTENT_TYPE, DETAILS, problem
from recognizer.middleware import is_api

from .errors import error_page

# Where the web server puts the code of what went wrong; the body is empty then.
ENVIRON_KEY = "digits.receive_error"


@dataclass(frozen=True, slots=True)
class ReceiveError:
    """What the client is told.

    Attributes:
        retry_after: seconds after which the same request may work; None if it never will.
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
    """Answer for the web server before anything looks for a body."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        code = request.META.get(ENVIRON_KEY)
        if code is None:
            return self.get_response(request)
        error = RECEIVE_ERRORS[code]
        if not is_api(request):
            return error_page(request, error.status, retry_after=error.retry_after)
        document = problem(error.status, error.detail, code=code)
        response = JsonResponse(document, status=error.status, content_type=CONTENT_TYPE)
        if error.retry_after is not None:
            response["Retry-After"] = str(error.retry_after)
        return response
