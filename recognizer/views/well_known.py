"""Well-known files: robots.txt and favicon.ico."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

# Keeps crawlers from personal pages and from expensive ones. Pages of submissions have a noindex tag as well.
ROBOTS = """User-agent: *
Disallow: /account/
Disallow: /admin/
Disallow: /api/v1/
Allow: /api/v1/docs/
Disallow: /history/
Disallow: /review/
Disallow: /s/
"""


@require_safe
@cache_control(max_age=86_400, public=True)
def robots(_request: HttpRequest) -> HttpResponse:
    """Send robots.txt."""
    return HttpResponse(ROBOTS, content_type="text/plain")


@require_safe
@cache_control(max_age=86_400, public=True)
def favicon(_request: HttpRequest) -> HttpResponse:
    """Redirect /favicon.ico to the SVG icon, which pages link to directly."""
    return redirect(static("recognizer/favicon.svg"))
