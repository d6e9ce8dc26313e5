"""Bulk actions of History: reviewers label the selected submissions; operators may also delete them."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from recognizer.models import LabelReason, Submission, TruthValue
from recognizer.requests import SiteRequest
from recognizer.services.identity import permissions
from recognizer.services.review import labels
from recognizer.services.review.labels import LabelError, LabelInput
from recognizer.services.submissions import service

from .history import PAGE_SIZE


@require_POST
def bulk(request: SiteRequest) -> HttpResponse:
    """Carry out `act` on the submissions `s`: `label` with `value`, `delete` (asks first) or `delete-now`."""
    permissions.require_reviewer(request.actor)
    rows = _selected(request)
    act = request.POST.get("act", "")
    if not rows:
        messages.error(request, "Choose some pictures first.")
    elif act == "label":
        _label(request, rows)
    elif act == "delete":
        allowed = [row for row in rows if permissions.can_delete(request.actor, row)]
        context = {"submissions": allowed, "refused": len(rows) - len(allowed), "next": _next_url(request)}
        return render(request, "recognizer/bulk_delete.html", context)
    elif act == "delete-now":
        _delete(request, rows)
    return redirect(_next_url(request))


def _selected(request: SiteRequest) -> list[Submission]:
    ids = request.POST.getlist("s")[:PAGE_SIZE]
    rows = permissions.visible_submissions(request.actor).filter(public_id__in=ids)
    return list(rows.with_latest_prediction().without_large_columns())


def _label(request: SiteRequest, rows: list[Submission]) -> None:
    value = request.POST.get("value", "")
    try:
        recorded = labels.record_labels(
            actor=request.actor, inputs=[LabelInput(row, value, LabelReason.HISTORY) for row in rows]
        )
    except LabelError as error:
        messages.error(request, str(error))
    else:
        name = TruthValue(value).label
        messages.success(request, f"{len(recorded)} labelled: {name}." if recorded else "Nothing left.")


def _delete(request: SiteRequest, rows: list[Submission]) -> None:
    try:
        service.delete_many(actor=request.actor, rows=rows)
    except permissions.NotAllowedError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{len(rows)} deleted, with everything that was said about them.")


def _next_url(request: SiteRequest) -> str:
    """Return the page of History that the form was on, never a URL of another site."""
    url = request.POST.get("next", "")
    return url if url.startswith("/") and url_has_allowed_host_and_scheme(url, None) else reverse("history")
