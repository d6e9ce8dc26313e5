"""`/healthz`, `/readyz` and `/metrics`: what supervisors, load balancers and Prometheus ask, outside of the versioned
API."""

from dataclasses import asdict
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recognizer.services.ops import health, metrics

# Headers of a proxy that the settings do not know of: its callers are not on this machine, though it may be.
PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Via")


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
    response = JsonResponse(asdict(found), status=200 if found.is_ready else 503)
    # Django would log an error for each 503; what is missing has its own line.
    response._has_been_logged = True  # noqa: SLF001 - Django's own mark: there is no public one
    return response


@never_cache
@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    """Metrics for callers that send METRICS_TOKEN; without one, for programs on this machine, unless behind a proxy."""
    if not _may_read_metrics(request):
        if not settings.METRICS_TOKEN:
            return HttpResponse(
                "Set METRICS_TOKEN, and send it as a bearer token.", status=403, content_type="text/plain"
            )
        answer = HttpResponse("Send METRICS_TOKEN as a bearer token.", status=401, content_type="text/plain")
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    return HttpResponse(metrics.exposition(), content_type=metrics.CONTENT_TYPE)


def _may_read_metrics(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        return kind.lower() == "bearer" and constant_time_compare(token.strip(), settings.METRICS_TOKEN)
    # Behind a proxy every connection comes from it, so no address shows that the caller is on this machine.
    if settings.BEHIND_PROXY or any(name in request.headers for name in PROXY_HEADERS):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:  # a unix socket, at whose other end is a proxy
        return False
