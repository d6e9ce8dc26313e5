"""Well-known files: robots.txt, favicon.ico and security.txt."""

from datetime import timedelta

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.utils import timezone
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
# How long a copy of security.txt may be believed; RFC 9116 recommends less than a year.
SECURITY_TXT_DAYS = 180


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


@require_safe
@cache_control(max_age=86_400, public=True)
def security_txt(_request: HttpRequest) -> HttpResponse:
    """Send security.txt (RFC 9116), if the operator has set a contact."""
    if not settings.SECURITY_CONTACT:
        raise Http404
    expires = (timezone.now() + timedelta(days=SECURITY_TXT_DAYS)).strftime("%Y-%m-%dT00:00:00Z")
    text = f"Contact: {settings.SECURITY_CONTACT}\nExpires: {expires}\nPreferred-Languages: en\n"
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
