"""The request of the JSON API, and content negotiation."""

from collections.abc import Iterable
from typing import Any, cast

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from recognizer.requests import SiteRequest
from recognizer.services.identity.actors import Actor

FORM_MEDIA_TYPES = ("multipart/form-data", "application/x-www-form-urlencoded")


class ApiRequest(Request):
    """A request to a view of this API.

    Attributes:
        actor: The principal, set by the site's middleware or by token authentication on Django's request.
    """

    actor: Actor
    _request: SiteRequest

    def __init__(self, request: SiteRequest, **kwargs: Any) -> None:
        super().__init__(request, **kwargs)
        del self.parser_context["request"]  # a reference cycle; the parsers here do not need it
        # Read many times for each request. The framework looks them up on Django's request after two failed lookups.
        self.META, self.method, self.COOKIES, self.path = request.META, request.method, request.COOKIES, request.path

    @property
    def media_type(self) -> str:
        """Media type of the body in lower case, without parameters, as Django has parsed it."""
        return self._request.content_type or ""

    def _load_data_and_files(self) -> None:
        self._data, self._files = self._parse()  # type: ignore[attr-defined] # missing in the stubs
        self._full_data = self._data
        if self._files:
            self._full_data = self._data.copy()
            self._full_data.update(self._files)
        if self.media_type in FORM_MEDIA_TYPES:
            # Django closes the files that it finds here.
            inner: Any = self._request
            inner._post, inner._files = self._data, self._files  # noqa: SLF001


def site_request(request: Request) -> SiteRequest:
    """Return Django's request inside a request of the framework."""
    return cast("SiteRequest", request._request)  # noqa: SLF001 - the framework has no public access to it


def actor_of(request: Request) -> Actor:
    """Return the principal of a request, in signatures that the framework types as its own request."""
    return site_request(request).actor


class JsonOnlyNegotiation(DefaultContentNegotiation):
    """Content negotiation that ignores `Accept`: each resource has one representation.

    The content type of a request body selects the parser.
    """

    max_media_type_length: int  # defined by the base class, missing in its stubs

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser for the body's media type, or None (415)."""
        if len(request.content_type) > self.max_media_type_length:
            return None
        media_type = site_request(request).content_type or ""
        kind, slash, _ = media_type.partition("/")
        accepted = (media_type, f"{kind}{slash}*")
        return next((parser for parser in parsers if parser.media_type in accepted), None)

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 - the framework's signature
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        """Return the view's only renderer."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""
