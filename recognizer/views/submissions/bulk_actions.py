"""What reviewers do with many submissions of History at once: say what they show; operators may also delete them."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from recognizer.models import LabelReason, Submission
from recognizer.services.identity import permissions
from recognizer.services.review import decisions
from recognizer.services.review.labels import LabelError
from recognizer.services.submissions import service
from recognizer.views.review.queue import check_may_review

from .history import PAGE_SIZE


@require_POST
def bulk(request: HttpRequest) -> HttpResponse:
    """`s` names the submissions; `act` is `label` (with `value`), `delete` (which asks first) or `delete-now`."""
    check_may_review(request)
    rows = _chosen(request)
    act = request.POST.get("act", "")
    if not rows:
        messages.error(request, "Choose some pictures first.")
    elif act == "label":
        _label(request, rows)
    elif act == "delete":
        allowed = [one for one in rows if permissions.can_delete(request.actor, one)]
        context = {"submissions": allowed, "refused": len(rows) - len(allowed), "next": _back(request)}
        return render(request, "recognizer/bulk_delete.html", context)
    elif act == "delete-now":
        _delete(request, rows)
    return redirect(_back(request))


def _chosen(request: HttpRequest) -> list[Submission]:
    ids = request.POST.getlist("s")[:PAGE_SIZE]
    return list(
        service.with_latest_prediction(permissions.visible_submissions(request.actor)).filter(public_id__in=ids)
    )


def _label(request: HttpRequest, rows: list[Submission]) -> None:
    value = request.POST.get("value", "")
    try:
        said = decisions.decide_many(
            actor=request.actor, values=dict.fromkeys(rows, value), otherwise=LabelReason.HISTORY
        )
    except LabelError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{len(said)} labelled: {said[0].get_value_display()}." if said else "Nothing left.")


def _delete(request: HttpRequest, rows: list[Submission]) -> None:
    try:
        service.delete_many(actor=request.actor, rows=rows)
    except permissions.NotAllowedError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{len(rows)} deleted, with everything that was said about them.")


def _back(request: HttpRequest) -> str:
    """The page of History that was left; never an address of another site."""
    given = request.POST.get("next", "")
    return given if given.startswith("/") and url_has_allowed_host_and_scheme(given, None) else reverse("history")
