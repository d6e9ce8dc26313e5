"""The OpenAPI document, and the page with examples and Swagger UI from our own files, without inline script."""

from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import ensure_csrf_cookie
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.openapi.examples import EXAMPLES


# The same for every caller; an upgrade shows within minutes.
@method_decorator(cache_control(public=True, max_age=300), name="get")
class SchemaView(SpectacularAPIView):
    # YAML or JSON, as `Accept` or `?format=` says.
    content_negotiation_class = DefaultContentNegotiation


@method_decorator(ensure_csrf_cookie, name="dispatch")  # "Try it out" sends the token
class DocsView(SpectacularSwaggerSplitView):
    url_name = "api-schema"
    template_name = "recognizer/api_docs.html"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        response = super().get(request, *args, **kwargs)
        if response.template_name == self.template_name:  # and not the script that starts Swagger UI
            site = request.build_absolute_uri("/").rstrip("/")
            response.data["examples"] = [{"example": one, "codes": one.codes(site)} for one in EXAMPLES]
        return response
