"""What programs ask of every site without being told where it is: robots.txt and favicon.ico."""

from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView

# What belongs to somebody, or costs an answer, is nothing for a search engine; shared links say so themselves.
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
    return HttpResponse(ROBOTS, content_type="text/plain")


@require_safe
@cache_control(max_age=86_400, public=True)
def favicon(request: HttpRequest) -> HttpResponse:
    """Pages name the drawing themselves; browsers that ask for an .ico are shown to it."""
    return RedirectView.as_view(url=static("recognizer/favicon.svg"))(request)
