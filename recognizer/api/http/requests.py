"""The caller of a request of the JSON API, and content negotiation."""

from collections.abc import Iterable
from typing import cast

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from recognizer.requests import SiteRequest
from recognizer.services.identity.actors import Actor


def site_request(request: Request) -> SiteRequest:
    """Return the request with the type that it has after this site's middleware."""
    return cast("SiteRequest", request)


def actor_of(request: Request) -> Actor:
    """Return the principal of a request, as set by the site's middleware or by token authentication."""
    return site_request(request).actor


class JsonOnlyNegotiation(DefaultContentNegotiation):
    """Content negotiation that ignores `Accept`: each resource has one representation."""

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 - the framework's signature
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        """Return the view's only renderer."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""
