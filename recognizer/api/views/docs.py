"""The OpenAPI document, and the API page with examples and Swagger UI from local files, without inline scripts."""

from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import ensure_csrf_cookie
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.openapi.examples import EXAMPLES


# The same for every client. Five minutes, so that an upgrade shows soon.
@method_decorator(cache_control(public=True, max_age=300), name="get")
class SchemaView(SpectacularAPIView):
    """The OpenAPI document, as YAML or JSON (`Accept` or `?format=`)."""

    content_negotiation_class = DefaultContentNegotiation


@method_decorator(ensure_csrf_cookie, name="dispatch")  # "Try it out" sends the token
class DocsView(SpectacularSwaggerSplitView):
    """The API page."""

    url_name = "api-schema"
    template_name = "recognizer/api_docs.html"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return the page, or the script that starts Swagger UI."""
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call] # of drf-spectacular
        if response.template_name == self.template_name:
            site = request.build_absolute_uri("/").rstrip("/")
            response.data["examples"] = [{"example": example, "codes": example.codes(site)} for example in EXAMPLES]
        return response
