"""Parameters, request bodies and responses of the OpenAPI document, and decorators that add them to views."""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import django_filters as filters
from django.core.validators import RegexValidator
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)

from recognizer.api.http.problems import CONTENT_TYPE, DETAILS
from recognizer.api.serializers.inputs import (
    NewSubmissionFormSerializer,
    NewSubmissionJsonSerializer,
    PictureFormSerializer,
    PictureJsonSerializer,
)
from recognizer.api.serializers.problems import ProblemSerializer
from recognizer.filters import StrictBooleanFilter, StrictFilterSet

View = TypeVar("View", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type[Any])

KEY = OpenApiParameter("key", description="A read key or share key, which gives read access to this submission.")
MANAGE_KEY = OpenApiParameter(
    "X-Manage-Key",
    location=OpenApiParameter.HEADER,
    description="The `manage_key` of a submission that was created without an account and without a cookie. It gives "
    "the permissions of the sender on this submission.",
)
PREFER = OpenApiParameter(
    "Prefer",
    location=OpenApiParameter.HEADER,
    description="`wait=N`: wait at most N seconds for the prediction. `respond-async`: do not wait. (RFC 7240)",
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": '^[^"]+$'},
    OpenApiParameter.HEADER,
    description="A unique string for this request, for example a UUID. A repetition within 24 hours is not executed "
    "again and gets the stored response: the same status, body and `Location`. 409 while the first request is being "
    "executed; 422 if the body differs. Rejected requests are not stored. When a submission is deleted, its "
    "part of the stored response is deleted too: the repetition is then answered with 410 (in a batch: an item with "
    "status 410), and nothing is stored again.",
)
FILE_OPTIONS = [
    CROP := OpenApiParameter(
        "crop",
        description="If the body is an image file: left, top, right and bottom edge of the digit in pixels, as JSON "
        "text, for example `[10,5,50,55]`.",
    ),
    OpenApiParameter(
        "may_train",
        OpenApiTypes.BOOL,
        description="If the body is an image file. False: the site may not use it for training.",
    ),
]
LOCATION = OpenApiParameter(
    "Location",
    location=OpenApiParameter.HEADER,
    response=[201, 202],
    description="URL of the submission, with a read key.",
)
RETRY_AFTER = OpenApiParameter(
    "Retry-After", OpenApiTypes.INT, OpenApiParameter.HEADER, response=[202], description="Seconds."
)
REPLAYED = OpenApiParameter(
    "Idempotent-Replayed",
    {"const": "true"},
    OpenApiParameter.HEADER,
    response=[201, 202, 207],
    description="Present if this is the stored response to an earlier request with the same `Idempotency-Key`.",
)
NOT_MODIFIED = OpenApiResponse(description="The client's copy is current (`If-None-Match`).")
PUBLIC_ID = OpenApiParameter("public_id", location=OpenApiParameter.PATH, description="Id of a submission.")

# Makes "Try it out" on the API page work without editing.
DRAWING_EXAMPLE = OpenApiExample(
    "A drawn 7", {"strokes": [[[60, 200, 120], [60, 60, 230]]]}, request_only=True, media_type="application/json"
)

_FILES = dict.fromkeys(
    ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff"), OpenApiTypes.BINARY
)
IMAGE_BODIES = {"application/json": PictureJsonSerializer, "multipart/form-data": PictureFormSerializer, **_FILES}
SUBMISSION_BODIES = {
    "application/json": PolymorphicProxySerializer(
        "NewSubmissions",
        [NewSubmissionJsonSerializer, NewSubmissionJsonSerializer(many=True)],
        resource_type_field_name=None,
        many=False,
    ),
    "multipart/form-data": NewSubmissionFormSerializer,
    **_FILES,
}

# Empty values are accepted, because HTML forms send them for empty fields.
DATE_TIME = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}, {"const": ""}]}


def problems(*statuses: int) -> dict[Any, Any]:
    """Return the problem responses of an operation. 500 is always included."""
    return {
        (status, CONTENT_TYPE): OpenApiResponse(ProblemSerializer, DETAILS.get(status, HTTPStatus(status).phrase))
        for status in sorted({*statuses, 500})
    }


def describe_list(
    *, problem: Iterable[int] = (), parameters: Iterable[OpenApiParameter] = (), **kwargs: Any
) -> Callable[[Class], Class]:
    """Describe the GET of a list view.

    Args:
        problem: Statuses of problems in addition to 400.
        parameters: Parameters in addition to the filters and pagination.
        kwargs: Further arguments of `extend_schema`.
    """

    def decorate(view: Class) -> Class:
        schema = extend_schema(
            parameters=[*parameters, *filter_parameters(view.filterset_class)],
            responses={200: view.serializer_class(many=True), **problems(400, *problem)},
            **kwargs,
        )
        decorated: Class = extend_schema_view(get=schema)(view)
        return decorated

    return decorate


def describe_submission(*, responses: Mapping[Any, Any], **kwargs: Any) -> Callable[[View], View]:
    """Describe an operation on one submission. Further arguments are those of `extend_schema`."""
    return extend_schema(tags=["submissions"], parameters=[PUBLIC_ID, KEY, MANAGE_KEY], responses=responses, **kwargs)


def filter_parameters(filterset: type[StrictFilterSet]) -> list[OpenApiParameter]:
    """Return the query parameters of a filter set."""
    return [_parameter(name, item) for name, item in filterset.base_filters.items()]


def _parameter(name: str, item: filters.Filter) -> OpenApiParameter:
    """Return the query parameter of a filter."""
    description = item.extra.get("help_text", "")
    if isinstance(item, filters.OrderingFilter):
        values = [value for value, _ in item.extra["choices"]]
        return OpenApiParameter(name, enum=[*values, ""], description=description)
    if isinstance(item, filters.MultipleChoiceFilter):
        choices = [value for value, _ in item.field.choices]
        kind = OpenApiTypes.INT if isinstance(choices[0], int) else OpenApiTypes.STR
        return OpenApiParameter(name, kind, many=True, enum=choices, description=f"{description} Any of them.".strip())
    if isinstance(item, StrictBooleanFilter):
        return OpenApiParameter(name, _or_empty({"type": "boolean"}), description=description)
    if isinstance(item, filters.IsoDateTimeFilter):
        return OpenApiParameter(name, DATE_TIME, description=description)
    if isinstance(item, filters.NumberFilter):
        return OpenApiParameter(name, _number(item), description=description)
    is_deprecated = getattr(item, "is_deprecated", False)
    return OpenApiParameter(name, _text(item), description=description, deprecated=is_deprecated)


def _text(item: filters.Filter) -> dict[str, Any]:
    """Return the schema of a text filter, with its pattern. Empty values are accepted."""
    for validator in item.extra.get("validators", ()):
        if isinstance(validator, RegexValidator):
            pattern = getattr(validator.regex, "pattern", "")
            # Python's \Z is $ in JSON Schema.
            return {"type": "string", "pattern": f"^$|{pattern}".replace(r"\Z", "$")}
    return {"type": "string"}


def _number(item: filters.NumberFilter) -> dict[str, Any]:
    """Return the schema of a number filter, with its limits. Empty values are accepted."""
    limits = {"minimum": item.extra.get("min_value"), "maximum": item.extra.get("max_value")}
    kind = "integer" if item.extra.get("decimal_places") == 0 else "number"
    return _or_empty({"type": kind} | {name: limit for name, limit in limits.items() if limit is not None})


def _or_empty(schema: dict[str, Any]) -> dict[str, Any]:
    """Accept empty values too, because HTML forms send them for empty fields."""
    return {"anyOf": [schema, {"const": ""}]}


class CookieScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # of drf-spectacular
    """The security scheme of session cookies."""

    target_class = "recognizer.api.authentication.cookie.CookieAuthentication"
    name = "session"

    def get_security_definition(self, _auto_schema: object) -> dict[str, Any]:
        """Return the description of the scheme."""
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid_SITE",
            "description": "The session of a signed-in account; SITE is the attribute `data-site` of every page. "
            "Requests that change something also need the CSRF token in `X-CSRFToken`: the value of the cookie "
            "`csrftoken_SITE`. A client without cookies is anonymous and may still create submissions.",
        }
