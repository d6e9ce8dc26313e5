"""`/healthz` and `/readyz`: what supervisors and load balancers ask. They stand outside of the versioned API."""

from dataclasses import asdict

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recognizer.services import health


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"ok": True})


@never_cache
@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """200 when pages can be served and submissions taken, else 503; either way what is there and what is not."""
    found = health.check()
    return JsonResponse(asdict(found), status=200 if found.is_ready else 503)
