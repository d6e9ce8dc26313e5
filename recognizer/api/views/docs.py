"""The OpenAPI document, and the page that shows it: Swagger UI from our own files, without inline script."""

from django.utils.decorators import method_decorator
from django.views.decorators.csrf import ensure_csrf_cookie
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation


class SchemaView(SpectacularAPIView):
    # YAML or JSON, as `Accept` or `?format=` says.
    content_negotiation_class = DefaultContentNegotiation


@method_decorator(ensure_csrf_cookie, name="dispatch")  # "Try it out" sends the token
class DocsView(SpectacularSwaggerSplitView):
    url_name = "api-schema"
    template_name = "recognizer/api_docs.html"
