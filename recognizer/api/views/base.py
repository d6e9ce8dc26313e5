"""Base classes of the API's views: request checks, the acting principal, lists, and views for operators."""

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from recognizer import pagination
from recognizer.api.http.lists import KeysetPagination, StrictFilterBackend
from recognizer.api.http.request_parsing import check_body
from recognizer.api.http.requests import actor_of
from recognizer.api.permissions import HasTokenScope, IsOperator
from recognizer.filters import StrictFilterSet
from recognizer.models import Scope, Submission
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor


class ApiView(GenericAPIView[Any]):
    """Base view. Checks the length and the charset of the body before it is read.

    Attributes:
        max_body_bytes: The largest accepted body. Views that accept images set a larger value.
        scopes: Token scopes by method, where they differ from the default (see `required_scopes`).
    """

    max_body_bytes = 4096
    scopes: ClassVar[Mapping[str, tuple[Scope, ...] | None]] = {}
    # No `options`: the OpenAPI document describes the operations, and the middleware answers CORS preflights.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the method, the size and the charset of the body, then authenticate the request.

        Raises:
            MethodNotAllowed: The view does not have the method. For every caller, so permissions are not asked first.
            ProblemError: The body is larger than `max_body_bytes`, or not UTF-8.
        """
        if request.method not in self.allowed_methods:
            raise MethodNotAllowed(request.method or "")
        check_body(request, max_bytes=self.max_body_bytes)
        super().initial(request, *args, **kwargs)

    @property
    def actor(self) -> Actor:
        """The principal of the request."""
        return actor_of(self.request)

    @property
    def key(self) -> str:
        """The read key or share key in the query parameters, or ""."""
        return self.request.query_params.get("key", "")

    def validated_body(self, kind: type[Serializer[Any]]) -> dict[str, Any]:
        """Return the body validated by a serializer.

        Raises:
            rest_framework.exceptions.ValidationError: Messages by field.
        """
        serializer = kind(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        fields: dict[str, Any] = serializer.validated_data
        return fields

    def readable_submission(self, public_id: str) -> Submission:
        """Return a submission that the caller may see, by permission or by the `key` query parameter.

        Raises:
            Http404: The submission does not exist or is not visible to the caller. The response is the same.
        """
        return permissions.get_visible_submission(self.actor, public_id, key=self.key)


class ListView(ApiView, ListAPIView[Any]):
    """A list with filters, ordering and keyset pagination. Unknown query parameters are rejected.

    Attributes:
        filterset_class: Filters and ordering.
        other_parameters: Names of query parameters that are not filters.
    """

    filter_backends = (StrictFilterBackend,)
    pagination_class = KeysetPagination
    filterset_class: type[StrictFilterSet]
    other_parameters: tuple[str, ...] = pagination.PARAMETERS


class OperatorView(ApiView):
    """A view for operators, and for their tokens with the scope `operate`."""

    permission_classes = (HasTokenScope, IsOperator)
    scopes = dict.fromkeys(("GET", "POST"), (Scope.OPERATE,))
