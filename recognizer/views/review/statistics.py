"""Review statistics: pace, agreement between reviewers, and accuracy on real traffic."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recognizer.requests import SiteRequest
from recognizer.services.identity import permissions
from recognizer.services.review import statistics


@never_cache
@require_safe
def show(request: SiteRequest) -> HttpResponse:
    """Show the statistics page."""
    permissions.require_reviewer(request.actor)
    by_day, by_version = statistics.accuracy_on_traffic()
    return render(
        request,
        "recognizer/review_figures.html",
        {
            "progress": statistics.progress(request.actor),
            "by_day": by_day,
            "by_version": by_version,
            "decisions": statistics.decisions_by_day(),
            "paces": statistics.reviewer_paces(),
            "agreement": statistics.agreement(),
            "days": statistics.PERIOD.days,
        },
    )
