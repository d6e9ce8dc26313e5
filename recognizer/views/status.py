"""The Status page: health of each component of the site, for operators."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recognizer.requests import SiteRequest
from recognizer.services.identity import permissions
from recognizer.services.ops import status


@never_cache
@require_safe
def show(request: SiteRequest) -> HttpResponse:
    """Show the status checks and the number of failed ones."""
    permissions.require_operator(request.actor)
    checks = status.checks()
    ill = [check for check in checks if not check.is_well]
    return render(request, "recognizer/status.html", {"checks": checks, "ill": ill})
