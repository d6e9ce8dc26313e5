"""The page of one submission: what was kept, what was said of it, and what its owner or a reviewer may do with it.

Whoever may not see a submission gets 404, for reading and for every action alike.
"""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from recognizer.models import Label, LabelReason, Submission, SubmissionState, TruthValue
from recognizer.services.identity import permissions
from recognizer.services.review import labels
from recognizer.services.submissions import service

# People may change their mind; a page shows so much of it, the API all.
MAX_LABELS_SHOWN = 50


def _find(request: HttpRequest, public_id: str, *, key: str = "") -> Submission:
    submission = get_object_or_404(service.with_latest_prediction(Submission.objects.all()), public_id=public_id)
    if not permissions.can_see(request.actor, submission, key=key):
        raise Http404
    return submission


@never_cache
@require_safe
def show(request: HttpRequest, public_id: str) -> HttpResponse:
    key = request.GET.get("key", "")
    submission = _find(request, public_id, key=key)
    predictions = submission.predictions.select_related("version")
    # Retractions have no value; they show at the word that they take back.
    said = submission.labels.filter(value__gt="").select_related("user", "retraction").order_by("-id")
    words = [
        {"label": one, "mine": permissions.is_own_label(request.actor, one)} for one in said[: MAX_LABELS_SHOWN + 1]
    ]
    standing = next((one["label"] for one in words if one["mine"] and not hasattr(one["label"], "retraction")), None)
    context = {
        "submission": submission,
        "answer": submission.latest_prediction,
        "is_pending": submission.state == SubmissionState.PENDING,
        "predictions": predictions,
        "words": words[:MAX_LABELS_SHOWN],
        "has_more_words": len(words) > MAX_LABELS_SHOWN,
        "names_are_shown": request.actor.is_reviewer or request.actor.is_operator,
        "my_value": standing.value if standing else "",
        "values": TruthValue.choices,
        "can_label": permissions.can_label(request.actor, submission),
        "can_delete": permissions.can_delete(request.actor, submission),
        "can_share": permissions.can_share(request.actor, submission),
        "share_url": _share_url(request, submission),
        "key": key,
    }
    return render(request, "recognizer/submission.html", context)


def _share_url(request: HttpRequest, submission: Submission) -> str:
    if not submission.share_key:
        return ""
    return request.build_absolute_uri(f"{submission.get_absolute_url()}?key={submission.share_key}")


@require_POST
def label(request: HttpRequest, public_id: str) -> HttpResponse:
    submission = _find(request, public_id)
    try:
        said = labels.create_label(
            actor=request.actor,
            submission=submission,
            value=request.POST.get("value", ""),
            reason=LabelReason.SUBMISSION_PAGE,
        )
    except permissions.NotAllowedError as error:
        raise Http404 from error
    except labels.LabelError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Noted: {said.get_value_display()}. Thank you.")
    return redirect(submission)


@require_POST
def retract(request: HttpRequest, public_id: str, label_id: int) -> HttpResponse:
    submission = _find(request, public_id)
    said = get_object_or_404(Label, pk=label_id, submission=submission)
    try:
        labels.retract(actor=request.actor, label=said)
    except permissions.NotAllowedError as error:
        raise Http404 from error
    except labels.LabelError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Taken back.")
    return redirect(submission)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, public_id: str) -> HttpResponse:
    submission = _find(request, public_id)
    if not permissions.can_delete(request.actor, submission):
        raise Http404
    if request.method != "POST":
        return render(request, "recognizer/submission_delete.html", {"submission": submission})
    service.delete(actor=request.actor, submission=submission)
    messages.success(request, "Deleted, with everything that was said about it.")
    return redirect("history")


@require_POST
def share(request: HttpRequest, public_id: str) -> HttpResponse:
    """Make the share link, or with `stop` make it stop working."""
    submission = _find(request, public_id)
    act = service.unshare if "stop" in request.POST else service.share
    try:
        act(actor=request.actor, submission=submission)
    except permissions.NotAllowedError as error:
        raise Http404 from error
    return redirect(f"{reverse('submission', args=[public_id])}#share")
