"""The Status page: health of each component of the site, for operators."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recognizer.requests import SiteRequest
from recognizer.services.ops import status

from .registry.model_registry import operators_only


@never_cache
@require_safe
@operators_only
def show(request: SiteRequest) -> HttpResponse:
    """Show the status checks and the number of failed ones."""
    checks = status.checks()
    ill = [check for check in checks if not check.is_well]
    return render(request, "recognizer/status.html", {"checks": checks, "ill": ill})
