"""What the OpenAPI document says beyond what the views say themselves: filters, pages, errors, who may call."""

from collections.abc import Iterable
from functools import cache
from http import HTTPStatus

import django_filters as filters
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers

from recognizer import paging
from recognizer.filters import StrictFilterSet, YesOrNo

from .problems import CONTENT_TYPE, DETAILS


class ProblemSerializer(serializers.Serializer):
    """An error, in the form of RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField(help_text="The status in words.")
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What is wrong and what to do, for people.")
    code = serializers.CharField(help_text="What is wrong, for programs; it does not change.")
    errors = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()), required=False, help_text="Messages by field."
    )


KEY = OpenApiParameter("key", description="A read key or share key: it opens this one submission to whoever has it.")
PREFER = OpenApiParameter(
    "Prefer",
    location=OpenApiParameter.HEADER,
    description="`wait=N`: wait at most N seconds for the prediction. `respond-async`: do not wait. (RFC 7240)",
)
PUBLIC_ID = OpenApiParameter("public_id", location=OpenApiParameter.PATH, description="Id of a submission.")

# So that "Try it out" on the page works at once.
A_SEVEN = OpenApiExample(
    "A drawn 7", {"strokes": [[[60, 200, 120], [60, 60, 230]]]}, request_only=True, media_type="application/json"
)

PAGING = [
    OpenApiParameter("cursor", description="Where the page begins: take it from `next` or `previous`."),
    OpenApiParameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": paging.LARGEST_PAGE, "default": paging.PAGE_SIZE},
        description="Rows on a page.",
    ),
]

_TYPES = {filters.NumberFilter: OpenApiTypes.NUMBER, filters.IsoDateTimeFilter: OpenApiTypes.DATETIME}


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
    parameters = [*own, *(_parameter(name, one) for name, one in filterset.base_filters.items()), *PAGING]
    return extend_schema(parameters=parameters, responses={200: _page(serializer), **problems(400, *problem)}, **more)


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
        return OpenApiParameter(name, enum=values, description=description)
    if isinstance(one, filters.MultipleChoiceFilter):
        choices = [value for value, _ in one.field.choices]
        kind = OpenApiTypes.INT if isinstance(choices[0], int) else OpenApiTypes.STR
        return OpenApiParameter(name, kind, many=True, enum=choices, description=f"{description} Any of them.".strip())
    if isinstance(one, YesOrNo):
        return OpenApiParameter(name, OpenApiTypes.BOOL, description=description)
    kind = next((kind for known, kind in _TYPES.items() if isinstance(one, known)), OpenApiTypes.STR)
    return OpenApiParameter(name, kind, description=description)


class CookieScheme(OpenApiAuthenticationExtension):
    target_class = "recognizer.api.callers.CookieAuthentication"
    name = "session"

    def get_security_definition(self, _auto_schema: object) -> dict:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "The session of a signed-in account. What changes something also needs the CSRF token in "
            "`X-CSRFToken`. Without any cookie the caller is nobody, and may still send.",
        }
