"""The confusion matrix of one model version on settled submissions. Each cell links to its submissions in History."""

from urllib.parse import urlencode

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recognizer.models import ModelVersion, TruthState
from recognizer.requests import SiteRequest
from recognizer.services.identity import permissions
from recognizer.services.registry import versions as model_versions
from recognizer.services.review import confusion_matrix
from recognizer.services.review.confusion_matrix import Matrix
from recognizer.services.review.statistics import AccuracyShare

# Thresholds for the shade of a cell: its share of the row. The count is written in the cell.
SHADES = (0.0, 0.001, 0.01, 0.05, 0.2, 0.6)


@never_cache
@require_safe
def matrix(request: SiteRequest) -> HttpResponse:
    """Show the matrix of the version in the query, by default of the live one."""
    permissions.require_reviewer(request.actor)
    versions = list(ModelVersion.objects.only("number"))
    live = model_versions.live_version().number
    number = request.GET.get("version") or str(live)
    version = next((version for version in versions if str(version.number) == number), None)
    if version is None:
        raise Http404
    counts = confusion_matrix.matrix_for_version(version)
    context = {
        "version": version,
        "versions": [{"number": item.number, "is_live": item.number == live} for item in versions],
        "matrix": counts,
        "accuracy": AccuracyShare("accuracy", counts.right, counts.total),
        "rows": [_row(counts, truth) for truth in range(10)],
        "digits": range(10),
    }
    return render(request, "recognizer/matrix.html", context)


def _row(matrix: Matrix, truth: int) -> dict[str, object]:
    counts = matrix.cells[truth]
    total = sum(counts)
    return {
        "truth": truth,
        "total": total,
        "recall": counts[truth] / total if total else None,
        "cells": [
            {
                "digit": digit,
                "count": count,
                "url": _history_url(matrix.version, truth, digit),
                "is_right": digit == truth,
                "shade": sum(count / total > shade for shade in SHADES) if count else 0,
            }
            for digit, count in enumerate(counts)
        ],
    }


def _history_url(version: int, truth: int, digit: int) -> str:
    query = urlencode({"truth": truth, "truth_state": TruthState.SETTLED.value, "predicted": f"{version}:{digit}"})
    return f"{reverse('history')}?{query}"
