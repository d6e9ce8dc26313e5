"""The confusion matrix of settled submissions, for one model version; each cell opens the very pictures in History."""

from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recognizer.models import ModelVersion, TruthState
from recognizer.services.registry import versions as model_versions
from recognizer.services.review import confusion_matrix
from recognizer.services.review.confusion_matrix import Matrix
from recognizer.services.review.statistics import AccuracyShare

from .queue import check_may_review

# How dark a cell is, by its share of what shows that digit; the number is written in it.
SHADES = (0.0, 0.001, 0.01, 0.05, 0.2, 0.6)


@never_cache
@require_safe
def matrix(request: HttpRequest) -> HttpResponse:
    check_may_review(request)
    versions = list(ModelVersion.objects.only("number"))
    live = model_versions.live_version().number
    asked_for = request.GET.get("version") or str(live)
    version = next((one for one in versions if str(one.number) == asked_for), None)
    if version is None:
        raise Http404
    made = confusion_matrix.matrix_for_version(version)
    context = {
        "version": version,
        "versions": [{"number": one.number, "is_live": one.number == live} for one in versions],
        "matrix": made,
        "accuracy": AccuracyShare("accuracy", made.right, made.total),
        "rows": [_row(made, truth) for truth in range(10)],
        "digits": range(10),
    }
    return render(request, "recognizer/matrix.html", context)


def _row(made: Matrix, truth: int) -> dict:
    counts = made.cells[truth]
    total = sum(counts)
    return {
        "truth": truth,
        "total": total,
        "recall": counts[truth] / total if total else None,
        "cells": [
            {
                "digit": digit,
                "count": count,
                "url": _pictures(made.version, truth, digit),
                "is_right": digit == truth,
                "shade": sum(count / total > shade for shade in SHADES) if count else 0,
            }
            for digit, count in enumerate(counts)
        ],
    }


def _pictures(version: int, truth: int, digit: int) -> str:
    query = urlencode({"truth": truth, "truth_state": TruthState.SETTLED.value, "predicted": f"{version}:{digit}"})
    return f"{reverse('history')}?{query}"
