"""Errors of the JSON API as problem documents (RFC 9457).

`problem_response` is the framework's exception handler. `ProblemMiddleware` converts errors that occur outside of the
API's views: unknown paths, invalid hosts, request limits and error pages.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NotRequired, TypedDict

from django.conf import settings
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
    ValidationError,
)
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response

from ml.serving.bundle import BundleError
from recognizer.services.identity.idempotency import InProgressError, KeyReusedError
from recognizer.services.identity.quotas import QuotaError
from recognizer.services.identity.throttling import ThrottledError
from recognizer.services.inference.explanations import NothingToExplainError
from recognizer.services.lib.errors import BusyError, detach
from recognizer.services.lib.storage_errors import StorageError, StorageFullError, storage_error_of
from recognizer.services.registry.versions import RegistryError
from recognizer.services.review.labels import LabelError
from recognizer.services.submissions.intake import SubmissionRejectedError
from recognizer.services.training import CannotTrainError

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
# Headers of the replaced response that clients need.
COPIED_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")

STATUS_BY_REJECTION_CODE = {
    "empty": 400,
    "bad_crop": 400,
    "bad_shape": 400,
    "not_a_number": 400,
    "out_of_range": 400,
    "too_many_bytes": 413,
    "too_many_pixels": 413,
    "too_many": 413,
    "not_an_image": 415,
    "truncated": 422,
    "blank": 422,
}
DETAILS = {
    400: "The request cannot be understood.",
    403: "You may not do this.",
    404: "There is nothing at this address, or it is not yours to see.",
    413: "The request is larger than this site accepts.",
    414: "The address is too long. Send fewer or shorter parameters.",
    431: "The headers are too large. Send fewer or shorter ones.",
    500: "Something went wrong on our side. It was logged; please try again later.",
    507: "There is no room left here, so nothing was stored.",
    503: "The site cannot do this right now. Please try again in a moment.",
}

TOO_MANY_IMAGES = f"Send at most {settings.DATA_UPLOAD_MAX_NUMBER_FILES} pictures at once."

# Retry-After when the database is unreachable.
UNAVAILABLE_SECONDS = 5

# Exception types -> status, detail (empty: the exception's message) and code.
OTHER_ERRORS = (
    (StorageFullError, (507, "", StorageFullError.code)),
    (StorageError, (503, "", StorageError.code)),
    (BusyError, (503, "", "busy")),
    (QuotaError, (429, "", "quota_exceeded")),
    (ThrottledError, (429, "", "throttled")),
    (InProgressError, (409, "", "in_progress")),
    (KeyReusedError, (422, "", "key_reused")),
    # The database is unreachable or restarting.
    (OperationalError | InterfaceError, (503, DETAILS[503], "unavailable")),
    # The stored state does not allow the operation.
    (
        LabelError | CannotTrainError | RegistryError | NothingToExplainError | BundleError,
        (409, "", "conflict"),
    ),
    (PermissionDenied, (403, "", "")),
    (Http404, (404, DETAILS[404], "")),
    (RequestDataTooBig, (413, DETAILS[413], "body_too_large")),
    (TooManyFilesSent, (413, TOO_MANY_IMAGES, "too_many")),
    (TooManyFieldsSent | SuspiciousOperation | UnreadablePostError, (400, DETAILS[400], "")),
)


# Codes of errors that the API itself raises -> status and default detail.
PROBLEMS = {
    "conflict": (409, "The stored state does not allow this."),
    "deleted": (
        410,
        "This was stored under the same Idempotency-Key and deleted since. Use a new key to send it again.",
    ),
    "body_too_large": (413, DETAILS[413]),
    "too_many": (413, TOO_MANY_IMAGES),
    "too_many_values": (413, DETAILS[413]),
    "unsupported_charset": (415, "Send text as UTF-8."),
    "unsupported_media_type": (415, "This operation does not accept bodies of this type."),
    "unavailable": (503, "The model is busy or unavailable right now. Please try again in a moment."),
}


class ProblemError(exceptions.APIException):
    """An error that the API itself raises.

    Args:
        code: One of `PROBLEMS`.
        detail: Message for people, if the default does not say enough.
    """

    def __init__(self, code: str, detail: str | None = None) -> None:
        self.status_code, default = PROBLEMS[code]
        self.default_code = code
        self.wait = 1 if self.status_code == 503 else None
        super().__init__(detail or default)


class Problem(TypedDict):
    """A problem document."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: NotRequired[Mapping[str, list[str]]]


def problem(status: int, detail: str, *, code: str = "", errors: Mapping[str, list[str]] | None = None) -> Problem:
    """Build a problem document.

    Args:
        status: HTTP status.
        detail: Message for people.
        code: Stable code for programs; by default the name of the status.
        errors: Messages by field.
    """
    document: Problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code or HTTPStatus(status).name.lower(),
    }
    if errors:
        document["errors"] = errors
    return document


def problem_json(status: int, detail: str, *, code: str = "", headers: Mapping[str, str] | None = None) -> JsonResponse:
    """Build the response of a problem outside the framework's views; see `problem`."""
    return JsonResponse(
        problem(status, detail, code=code), status=status, content_type=CONTENT_TYPE, headers=dict(headers or {})
    )


def problem_response(error: Exception, context: Mapping[str, Any]) -> Response:
    """Convert an exception of a view to a problem document (`EXCEPTION_HANDLER`)."""
    storage = storage_error_of(error)
    document, headers = document_of(storage or error)
    if storage is not None:
        log.critical("%s: %s", storage.code, storage.__cause__)
    elif isinstance(error, OperationalError | InterfaceError):
        log.error("the database failed: %s", error)
    if document["status"] == 500:
        request = context["request"]
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        got_request_exception.send(sender=type(context["view"]), request=request)
    if isinstance(error, exceptions.UnsupportedMediaType):
        document["detail"] += f" Send {' or '.join(parser.media_type for parser in context['view'].parser_classes)}."
    if document["status"] != 500:
        # Some errors, including all database errors, form reference cycles that keep every frame of the request.
        detach(error)
    return Response(document, status=document["status"], headers=headers, content_type=CONTENT_TYPE)


def document_of(error: Exception) -> tuple[Problem, dict[str, str]]:
    """Return the problem document of an error and its headers."""
    if isinstance(error, exceptions.APIException):
        document = _of_framework_error(error)
    elif isinstance(error, ValidationError):
        document = _invalid(error.message_dict)
    elif isinstance(error, SubmissionRejectedError):
        status = STATUS_BY_REJECTION_CODE[error.code]
        document = problem(status, str(error), code=error.code, errors={error.field: [str(error)]})
    else:
        status, text, code = next(
            (answer for kinds, answer in OTHER_ERRORS if isinstance(error, kinds)), (500, DETAILS[500], "")
        )
        document = problem(status, text or str(error) or DETAILS[status], code=code)
    headers: dict[str, str] = {}
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    wait = getattr(error, "wait", None) or (UNAVAILABLE_SECONDS if document["status"] == 503 else None)
    if wait:
        headers["Retry-After"] = str(math.ceil(wait))
    return document, headers


def _of_framework_error(error: exceptions.APIException) -> Problem:
    if not isinstance(error, exceptions.ValidationError):
        return problem(error.status_code, str(error.detail), code=str(error.default_code))
    return _invalid(dict(_by_field(error.detail)))


def _invalid(messages: dict[str, list[str]]) -> Problem:
    general = messages.pop("", None)
    detail = " ".join(general or [f"{name}: {' '.join(texts)}" for name, texts in messages.items()])
    return problem(400, detail, code="invalid", errors=messages)


def _by_field(detail: Any, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Flatten nested messages to `("outer.inner", [messages])`. Messages that belong to no field have an empty path."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            part = "" if name == "non_field_errors" else str(name)
            yield from _by_field(inner, f"{path}.{part}".strip("."))
    elif any(isinstance(item, list | dict) for item in detail):
        for index, inner in enumerate(detail):
            if inner:
                yield from _by_field(inner if isinstance(inner, list | dict) else [inner], f"{path}.{index}".strip("."))
    else:
        yield path, [str(message) for message in detail]


class ProblemMiddleware:
    """Converts error responses under /api/ to problem documents. Must be the first middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response; an error becomes a problem document with the same status."""
        response = self.get_response(request)
        status = response.status_code
        if (
            status < 400
            or not request.path_info.startswith("/api/")
            or response.headers["Content-Type"] == CONTENT_TYPE
        ):
            return response
        if settings.DEBUG and status == 500:
            return response
        headers = {name: response[name] for name in COPIED_HEADERS if name in response.headers}
        detail = DETAILS.get(status, HTTPStatus(status).description or HTTPStatus(status).phrase)
        return problem_json(status, detail, headers=headers)
