"""The Status page: health of each component of the site, for operators."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recognizer.requests import SiteRequest
from recognizer.services.identity import permissions
from recognizer.services.ops import health


@never_cache
@require_safe
def show(request: SiteRequest) -> HttpResponse:
    """Show the results of all checks and the number of failed ones."""
    permissions.require_operator(request.actor)
    results = health.run_checks()
    failed = [result for result in results if not result.is_ok]
    return render(request, "recognizer/status.html", {"results": results, "failed": failed})
