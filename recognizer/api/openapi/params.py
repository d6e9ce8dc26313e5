"""What the OpenAPI document says beyond what the views say themselves: filters, pages, errors, who may call."""

from collections.abc import Iterable
from functools import cache
from http import HTTPStatus

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
    inline_serializer,
)
from rest_framework import serializers

from recognizer import pagination
from recognizer.api.http.problems import CONTENT_TYPE, DETAILS
from recognizer.api.serializers.inputs import (
    NewSubmissionFormSerializer,
    NewSubmissionJsonSerializer,
    PictureFormSerializer,
    PictureJsonSerializer,
)
from recognizer.api.serializers.outputs import ProblemSerializer
from recognizer.filters import StrictBooleanFilter, StrictFilterSet

KEY = OpenApiParameter(
    "key", description="A read key or share key: it opens this one submission to whoever has it, and changes nothing."
)
MANAGE_KEY = OpenApiParameter(
    "X-Manage-Key",
    location=OpenApiParameter.HEADER,
    description="The `manage_key` of a submission that was sent without an account and without a cookie: whoever sends "
    "it may do with this one submission what an account may do with its own.",
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
    description="Any text of your own, a UUID for example, that names this one request. Sent again within 24 hours, "
    "because the answer was lost on the way, it is stored once and gets the same answer: the same status, body and "
    "`Location`. 409 while the first one is being answered; 422 with another body. A refusal is not kept. When a "
    "submission is deleted, its part of the kept answer goes with it: the request sent again is then answered with 410 "
    "(in a batch: an item with status 410), and nothing is stored again.",
)
FILE_OPTIONS = [
    CROP := OpenApiParameter(
        "crop",
        description="Where the body is the picture itself: left, top, right, bottom of the digit in its own pixels, as "
        "JSON text: `[10,5,50,55]`.",
    ),
    OpenApiParameter(
        "may_train",
        OpenApiTypes.BOOL,
        description="Where the body is the picture itself. False: the site may not learn from it.",
    ),
]
LOCATION = OpenApiParameter(
    "Location",
    location=OpenApiParameter.HEADER,
    response=[201, 202],
    description="Where to read it, by a read key.",
)
RETRY_AFTER = OpenApiParameter(
    "Retry-After", OpenApiTypes.INT, OpenApiParameter.HEADER, response=[202], description="Seconds."
)
REPLAYED = OpenApiParameter(
    "Idempotent-Replayed",
    {"const": "true"},
    OpenApiParameter.HEADER,
    response=[201, 202, 207],
    description="There when the answer was given before, to the same request with the same `Idempotency-Key`.",
)
PUBLIC_ID = OpenApiParameter("public_id", location=OpenApiParameter.PATH, description="Id of a submission.")

# So that "Try it out" on the page works at once.
A_SEVEN = OpenApiExample(
    "A drawn 7", {"strokes": [[[60, 200, 120], [60, 60, 230]]]}, request_only=True, media_type="application/json"
)

_FILES = dict.fromkeys(
    ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff"), OpenApiTypes.BINARY
)
PICTURE_BODIES = {"application/json": PictureJsonSerializer, "multipart/form-data": PictureFormSerializer, **_FILES}
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

PAGING = [
    OpenApiParameter(
        "cursor",
        {"type": "string", "format": "cursor"},
        description="Where the page begins: take it from `next` or `previous`.",
    ),
    OpenApiParameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": pagination.MAX_PAGE_SIZE, "default": pagination.PAGE_SIZE},
        description="Rows on a page.",
    ),
]

# Empty as from a form of a page where nothing was chosen.
MOMENT = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}, {"const": ""}]}


def problems(*statuses: int) -> dict:
    """The responses of an operation that may fail in these ways. 500 may happen everywhere."""
    return {
        (status, CONTENT_TYPE): OpenApiResponse(ProblemSerializer, DETAILS.get(status, HTTPStatus(status).phrase))
        for status in sorted({*statuses, 500})
    }


def describe_list(
    filterset: type[StrictFilterSet],
    serializer: type[serializers.BaseSerializer],
    *,
    problem: Iterable[int] = (),
    **more,
) -> extend_schema:
    """The GET of a list that is filtered and paged."""
    own = more.pop("parameters", [])
    parameters = [*own, *filter_parameters(filterset), *PAGING]
    return extend_schema(parameters=parameters, responses={200: _page(serializer), **problems(400, *problem)}, **more)


def filter_parameters(filterset: type[StrictFilterSet]) -> list[OpenApiParameter]:
    return [_parameter(name, item) for name, item in filterset.base_filters.items()]


@cache
def _page(serializer: type[serializers.BaseSerializer]) -> serializers.Serializer:
    fields = {
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "results": serializer(many=True),
    }
    return inline_serializer(f"{serializer.__name__.removesuffix('Serializer')}Page", fields)


def _parameter(name: str, one: filters.Filter) -> OpenApiParameter:
    description = one.extra.get("help_text", "")
    if isinstance(one, filters.OrderingFilter):
        values = [value for value, _ in one.extra["choices"]]
        return OpenApiParameter(name, enum=[*values, ""], description=description)
    if isinstance(one, filters.MultipleChoiceFilter):
        choices = [value for value, _ in one.field.choices]
        kind = OpenApiTypes.INT if isinstance(choices[0], int) else OpenApiTypes.STR
        return OpenApiParameter(name, kind, many=True, enum=choices, description=f"{description} Any of them.".strip())
    if isinstance(one, StrictBooleanFilter):
        return OpenApiParameter(name, _or_empty({"type": "boolean"}), description=description)
    if isinstance(one, filters.IsoDateTimeFilter):
        return OpenApiParameter(name, MOMENT, description=description)
    if isinstance(one, filters.NumberFilter):
        return OpenApiParameter(name, _number(one), description=description)
    is_deprecated = getattr(one, "is_deprecated", False)
    return OpenApiParameter(name, _text(one), description=description, deprecated=is_deprecated)


def _text(one: filters.Filter) -> dict:
    """With its pattern, if it has one; it may be empty, as from a form of a page where nothing was chosen."""
    for validator in one.extra.get("validators", ()):
        if isinstance(validator, RegexValidator):
            # Python's \Z is $ in the dialect of JSON Schema.
            return {"type": "string", "pattern": f"^$|{validator.regex.pattern}".replace(r"\Z", "$")}
    return {"type": "string"}


def _number(one: filters.NumberFilter) -> dict:
    limits = {"minimum": one.extra.get("min_value"), "maximum": one.extra.get("max_value")}
    kind = "integer" if one.extra.get("decimal_places") == 0 else "number"
    return _or_empty({"type": kind} | {name: limit for name, limit in limits.items() if limit is not None})


def _or_empty(schema: dict) -> dict:
    """As from a form of a page where nothing was chosen."""
    return {"anyOf": [schema, {"const": ""}]}


class CookieScheme(OpenApiAuthenticationExtension):
    target_class = "recognizer.api.authentication.cookie.CookieAuthentication"
    name = "session"

    def get_security_definition(self, _auto_schema: object) -> dict:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid_SITE",
            "description": "The session of a signed-in account; SITE is the attribute `data-site` of every page. "
            "Requests that change something also need the CSRF token in `X-CSRFToken`: the value of the cookie "
            "`csrftoken_SITE`. A caller without any cookie is anonymous, and may still send.",
        }
