"""Filters and pages of lists, as the framework's filter backend and pagination class."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.filters import BaseFilterBackend
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from recognizer import pagination


class StrictFilterBackend(BaseFilterBackend):
    """Applies the `filterset_class` of a view. django-filter's own backend ignores unknown parameters."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any, Any], view: Any) -> QuerySet[Any, Any]:
        """Return the rows that the query parameters select.

        Raises:
            ValidationError: A query parameter is unknown or invalid.
        """
        filterset = view.filterset_class(request.query_params, queryset, request=request)
        filterset.check(other_names=view.other_parameters)
        rows: QuerySet[Any, Any] = filterset.qs
        return rows


class KeysetPagination(BasePagination):
    """Pages of `recognizer.pagination`."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:  # noqa: ARG002
        """Return the rows of the page that `cursor` and `page_size` select.

        Raises:
            ValidationError: One of the two parameters is invalid.
        """
        pagination.check_parameters(request.query_params)
        self.page = pagination.paginate(queryset, request.query_params)
        self.url = request.build_absolute_uri()
        return self.page.rows

    def get_paginated_response(self, data: Any) -> Response:
        """Return the rows with the URLs of the next and the previous page."""
        return Response(
            {
                "next": self._link(self.page.next_cursor),
                "previous": self._link(self.page.previous_cursor),
                "results": data,
            }
        )

    def _link(self, cursor: str | None) -> str | None:
        return None if cursor is None else replace_query_param(self.url, "cursor", cursor)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the OpenAPI schema of a page."""
        link = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": link, "previous": link, "results": schema}
        return {"type": "object", "properties": properties, "required": [*properties]}

    def get_schema_operation_parameters(self, _view: Any) -> list[dict[str, Any]]:
        """Return the query parameters that select a page."""
        size = {"type": "integer", "minimum": 1, "maximum": pagination.MAX_PAGE_SIZE, "default": pagination.PAGE_SIZE}
        return [
            {
                "in": "query",
                "name": "cursor",
                "schema": {"type": "string", "format": "cursor"},
                "description": "Position of the page, from `next` or `previous`.",
            },
            {"in": "query", "name": "page_size", "schema": size, "description": "Rows in a page."},
        ]
