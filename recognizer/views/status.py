"""Status: every part of the site, well or not, and what to do. Operators only."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recognizer.services.ops import status

from .registry.model_registry import operators_only


@never_cache
@require_safe
@operators_only
def show(request: HttpRequest) -> HttpResponse:
    checks = status.checks()
    ill = [check for check in checks if not check.is_well]
    return render(request, "recognizer/status.html", {"checks": checks, "ill": ill})
