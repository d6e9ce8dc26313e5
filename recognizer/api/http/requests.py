"""The caller of a request of the JSON API, its preferences, and content negotiation."""

from collections.abc import Iterable
from typing import cast

from django.conf import settings
from django.http.request import HttpHeaders
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from recognizer.requests import SiteRequest
from recognizer.services.identity.actors import Actor

# `Retry-After` of a response without the prediction.
RETRY_AFTER_SECONDS = "1"


def site_request(request: Request) -> SiteRequest:
    """Return the request with the type that it has after this site's middleware."""
    return cast("SiteRequest", request)


def actor_of(request: Request) -> Actor:
    """Return the principal of a request, as set by the site's middleware or by token authentication."""
    return site_request(request).actor


def wait_preference(headers: HttpHeaders) -> tuple[bool, float]:
    """Return whether the client waits for the prediction, and for how many seconds, by the `Prefer` header (RFC 7240).

    `Prefer: wait=N` waits N seconds, at most PREDICTION_WAIT_SECONDS; `respond-async` does not wait. Without a
    preference it is PREDICTION_WAIT_SECONDS. Preferences that cannot be parsed are ignored, as the RFC demands.
    """
    timeout = float(settings.PREDICTION_WAIT_SECONDS)
    preferences: dict[str, str] = {}
    for preference in headers.get("Prefer", "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        preferences.setdefault(name.strip().lower(), value.strip().strip('"'))
    if preferences.get("wait", "").isdecimal():
        timeout = min(float(preferences["wait"]), timeout)
    elif "respond-async" in preferences:
        timeout = 0.0
    return timeout > 0, timeout


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
