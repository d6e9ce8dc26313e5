"""Base classes of the API's views: request checks, the acting principal, and paginated lists."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.throttling import BaseThrottle

from recognizer import pagination
from recognizer.api.http.credentials import is_browser
from recognizer.api.http.lists import KeysetPagination, StrictFilterBackend
from recognizer.api.http.problems import BodyTooLarge, UnsupportedCharset
from recognizer.api.http.requests import ApiRequest, site_request
from recognizer.api.permissions import HasTokenScope, IsOperator
from recognizer.api.serializers.fields import serializer_of
from recognizer.filters import StrictFilterSet
from recognizer.middleware import ensure_visitor
from recognizer.models import Scope, Submission
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor

CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")


class ApiView(GenericAPIView[Any]):
    """Base view. Checks the length and the charset of the body before it is read.

    Attributes:
        max_body_bytes: The largest accepted body. Views that accept images set a larger value.
        scopes: Token scopes by method, where they differ from the default (see `required_scopes`).
    """

    max_body_bytes = 4096
    scopes: ClassVar[Mapping[str, tuple[Scope, ...] | None]] = {}
    request: ApiRequest

    # No `options`: the OpenAPI document describes the operations, and the middleware answers CORS preflights.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Django binds `head` to each view instance, which is a reference cycle.
        if hasattr(cls, "get"):
            cls.head = cls.get  # type: ignore[attr-defined] # Django's name for it

    def initialize_request(self, request: Any, *_args: Any, **_kwargs: Any) -> ApiRequest:
        """Wrap Django's request."""
        return ApiRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )

    # The framework's contexts reference the view and the request, which reference the contexts: cycles that keep each
    # body in memory until garbage collection. The parsers and renderers of this API do not use them.
    def get_parser_context(self, _http_request: Any) -> dict[str, Any]:
        """Return an empty context."""
        return {}

    def get_renderer_context(self) -> dict[str, Any]:
        """Return an empty context."""
        return {}

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Prepare the response for rendering and break its reference cycle afterwards."""
        final = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(final, Response):
            final.add_post_render_callback(_drop_renderer_context)
        return final

    # Parsers, authenticators and so on are stateless, so instances are shared instead of being created per request.
    def get_parsers(self) -> list[BaseParser]:
        """Return the shared parsers."""
        return _shared_instances(*self.parser_classes)

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return the shared authenticators."""
        return _shared_instances(*self.authentication_classes)

    def get_permissions(self) -> list[BasePermission]:
        """Return the shared permissions."""
        return _shared_instances(*self.permission_classes)

    def get_throttles(self) -> list[BaseThrottle]:
        """Return the shared throttles."""
        return _shared_instances(*self.throttle_classes)

    def get_renderers(self) -> list[BaseRenderer]:
        """Return the shared renderers."""
        return _shared_instances(*self.renderer_classes)

    def get_content_negotiator(self) -> BaseContentNegotiation:
        """Return the shared content negotiator."""
        negotiators: list[BaseContentNegotiation] = _shared_instances(self.content_negotiation_class)
        return negotiators[0]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the method, the size and the charset of the body, then authenticate the request.

        Raises:
            MethodNotAllowed: The view does not have the method. For every caller, so permissions are not asked first.
            BodyTooLarge: The body is larger than `max_body_bytes`.
            UnsupportedCharset: The body is not UTF-8.
        """
        if request.method not in self.allowed_methods:
            raise MethodNotAllowed(request.method or "")
        if int(request.META.get("CONTENT_LENGTH") or 0) > self.max_body_bytes:
            raise BodyTooLarge(limit=self.max_body_bytes)
        parameters = site_request(request).content_params or {}
        if parameters.get("charset", "utf-8").lower() not in CHARSETS:
            raise UnsupportedCharset
        super().initial(request, *args, **kwargs)

    @property
    def actor(self) -> Actor:
        """The principal of the request."""
        return self.request.actor

    @property
    def sender(self) -> Actor:
        """The principal. A browser without one becomes a new visitor, identified by a cookie."""
        return ensure_visitor(site_request(self.request)) if is_browser(self.request) else self.actor

    def validated_body(self, kind: type[Serializer[Any]]) -> dict[str, Any]:
        """Return the body validated by a serializer.

        Raises:
            rest_framework.exceptions.ValidationError: Messages by field.
        """
        fields: dict[str, Any] = serializer_of(kind).run_validation(self.request.data)
        return fields

    def readable_submission(self, public_id: str) -> Submission:
        """Return a submission that the caller may see, by permission or by the `key` query parameter.

        Raises:
            Http404: The submission does not exist or is not visible to the caller. The response is the same.
        """
        return permissions.get_visible_submission(self.actor, public_id, key=self.key)

    @property
    def key(self) -> str:
        """The read key or share key in the query parameters, or ""."""
        return self.request.query_params.get("key", "")


def _drop_renderer_context(response: Any) -> None:
    """Break the reference cycle between a rendered response and its context."""
    response.renderer_context = None


def _create_instances(*kinds: type[Any]) -> list[Any]:
    return [kind() for kind in kinds]


# One list of instances for all requests. The annotation hides the classes from the check for hashable arguments, which
# confuses the `__hash__` of instances with that of classes.
_shared_instances: Callable[..., list[Any]] = cache(_create_instances)


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
