"""What every endpoint of the JSON API shares: who is acting, how much may be sent, and the pages of lists."""

from collections.abc import Sequence
from functools import cache

from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, Serializer
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from recognizer import pagination
from recognizer.api.authentication.cookie import is_browser
from recognizer.api.http.problems import BodyTooLarge, ForeignCharset
from recognizer.api.http.requests import ApiRequest
from recognizer.api.serializers.inputs import serializer_of
from recognizer.filters import StrictFilterSet
from recognizer.middleware import ensure_visitor
from recognizer.models import Submission
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.submissions import service

CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")


class ApiView(APIView):
    """An endpoint. The body's length and how its text is written are checked before anything reads it.

    Attributes:
        max_body_bytes: the largest body that the endpoint accepts; those that take pictures say a larger one.
    """

    max_body_bytes = 4096

    # No `options`: what there is stands in the document, and CORS is answered before any view.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        # Django gives each new view a bound `head`, which holds the view: a reference cycle.
        if hasattr(cls, "get"):
            cls.head = cls.get

    def initialize_request(self, request: HttpRequest, *_args: object, **_kwargs: object) -> ApiRequest:
        return ApiRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )

    # What the framework puts in there, the view and the request, hold the contexts themselves: reference cycles, in
    # which each body would stay until the collector comes. No parser and no renderer here asks for them.
    def get_parser_context(self, _request: HttpRequest) -> dict:
        return {}

    def get_renderer_context(self) -> dict:
        return {}

    def finalize_response(self, *args: object, **kwargs: object) -> HttpResponseBase:
        response = super().finalize_response(*args, **kwargs)
        if isinstance(response, Response):
            response.add_post_render_callback(_drop_renderer_context)
        return response

    # None of them keeps anything between two requests; the framework makes new ones for each.
    def get_parsers(self) -> Sequence[BaseParser]:
        return _shared_instances(*self.parser_classes)

    def get_authenticators(self) -> Sequence[BaseAuthentication]:
        return _shared_instances(*self.authentication_classes)

    def get_permissions(self) -> Sequence[BasePermission]:
        return _shared_instances(*self.permission_classes)

    def get_throttles(self) -> Sequence[BaseThrottle]:
        return _shared_instances(*self.throttle_classes)

    def get_renderers(self) -> Sequence[BaseRenderer]:
        return _shared_instances(*self.renderer_classes)

    def get_content_negotiator(self) -> BaseContentNegotiation:
        [negotiator] = _shared_instances(self.content_negotiation_class)
        return negotiator

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        inner = request._request  # noqa: SLF001 - Django's own request knows the parameters of its content type
        if int(request.META.get("CONTENT_LENGTH") or 0) > self.max_body_bytes:
            raise BodyTooLarge(limit=self.max_body_bytes)
        if inner.content_params.get("charset", "utf-8").lower() not in CHARSETS:
            raise ForeignCharset
        super().initial(request, *args, **kwargs)

    @property
    def actor(self) -> Actor:
        return self.request.actor

    @property
    def sender(self) -> Actor:
        """The actor; somebody who draws in a browser for the first time becomes a visitor, known by a cookie."""
        return ensure_visitor(self.request._request) if is_browser(self.request) else self.actor  # noqa: SLF001

    def validated_body(self, kind: type[Serializer]) -> dict:
        """Return the fields of the body, checked by a serializer.

        Raises:
            rest_framework.exceptions.ValidationError: with a message for each field that is wrong.
        """
        return serializer_of(kind).run_validation(self.request.data)

    def readable_submission(self, public_id: str) -> Submission:
        """The submission, if the caller may see it: by who they are, or by the `key` in the address.

        Raises:
            Http404: there is none, or it is not theirs to see; nobody learns which.
        """
        try:
            submission = service.with_latest_prediction(Submission.objects.all(), whole=True).get(public_id=public_id)
        except Submission.DoesNotExist:
            raise Http404 from None
        if not permissions.can_see(self.actor, submission, key=self.key):
            raise Http404
        return submission

    @property
    def key(self) -> str:
        """A read key or share key in the address."""
        return self.request.query_params.get("key", "")


def _drop_renderer_context(response: Response) -> None:
    """Break a cycle: the context of a rendered response holds the response."""
    response.renderer_context = None


@cache
def _shared_instances(*kinds: type) -> list:
    return [kind() for kind in kinds]


class ListView(ApiView):
    """A list that is filtered, ordered and paged by its address; parameters that mean nothing here are refused."""

    filterset_class: type[StrictFilterSet]
    serializer_class: type[BaseSerializer]
    other_parameters: tuple[str, ...] = ()

    def rows(self) -> QuerySet:
        raise NotImplementedError

    def get(self, _request: Request) -> Response:
        return self.page(self.rows())

    def page(self, rows: QuerySet) -> Response:
        parameters = self.request.query_params
        filtered = self.filterset_class(parameters, queryset=rows, actor=self.actor)
        filtered.check(others=(*pagination.PARAMETERS, *self.other_parameters))
        pagination.check_parameters(parameters)
        page = pagination.paginate(filtered.qs, parameters)
        serializer = self.serializer_class(page.rows, many=True, context=self.context())
        return Response(
            {
                "next": self._link(page.next_cursor),
                "previous": self._link(page.previous_cursor),
                "results": serializer.data,
            }
        )

    def context(self) -> dict:
        """What the serializer knows besides the rows."""
        return {"request": self.request}

    def _link(self, cursor: str | None) -> str | None:
        if cursor is None:
            return None
        parameters = self.request.query_params.copy()
        parameters["cursor"] = cursor
        return self.request.build_absolute_uri(f"{self.request.path}?{parameters.urlencode()}")
