"""`/healthz`, `/readyz` and `/metrics` for the supervisor, load balancers and Prometheus, outside the versioned API."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recognizer.services.ops import health, metrics

# Headers of a proxy that the settings do not mention. Its clients are remote, although the connection may be local.
PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Via")


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """Return 200: the process handles requests."""
    return JsonResponse({"ok": True})


@never_cache
@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """Return 200 if the site can serve pages and accept submissions, else 503; the body lists every check."""
    is_ready, state = health.readiness()
    return JsonResponse(state, status=200 if is_ready else 503)


@never_cache
@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    """Return the metrics to clients with METRICS_TOKEN; without such a setting to local clients, unless proxied."""
    if not _may_read_metrics(request):
        if not settings.METRICS_TOKEN:
            return HttpResponse(
                "Set METRICS_TOKEN, and send it as a bearer token.", status=403, content_type="text/plain"
            )
        response = HttpResponse("Send METRICS_TOKEN as a bearer token.", status=401, content_type="text/plain")
        response["WWW-Authenticate"] = "Bearer"
        return response
    return HttpResponse(metrics.exposition(), content_type=metrics.CONTENT_TYPE)


def _may_read_metrics(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        return kind.lower() == "bearer" and constant_time_compare(token.strip(), settings.METRICS_TOKEN)
    # Every connection comes from the proxy, so the address does not show whether the client is local.
    if settings.BEHIND_PROXY or any(name in request.headers for name in PROXY_HEADERS):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:  # a Unix socket, which a proxy uses
        return False
