"""The page of one submission: image, predictions and labels, with the actions of its owner or a reviewer.

Actors that may not see a submission get 404, for reading and for every action; 403 for an action on one that they see.
"""

from dataclasses import dataclass

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from recognizer.forms import CropForm
from recognizer.models import Label, LabelReason, Prediction, Submission, SubmissionState, TruthValue, Verdict
from recognizer.requests import SiteRequest
from recognizer.services.identity import permissions
from recognizer.services.identity.quotas import QuotaError
from recognizer.services.review import labels
from recognizer.services.submissions import crops, service
from recognizer.services.submissions.intake import SubmissionRejectedError
from recognizer.templatetags.formatting import verdict_sentence

# Newest labels on the page. The API lists all.
MAX_LABELS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class _LabelRow:
    """A row in the list of labels."""

    label: Label
    is_own: bool


@never_cache
@require_safe
def show(request: SiteRequest, public_id: str) -> HttpResponse:
    """Show the page. `key` in the query is a share key or a read key."""
    key = request.GET.get("key", "")
    submission = permissions.get_visible_submission(request.actor, public_id, key=key)
    predictions = submission.predictions.select_related("version")
    # Retractions have no value; they are shown with the label that they retract.
    newest = submission.labels.filter(value__gt="").select_related("user", "retraction").order_by("-id")
    rows = [
        _LabelRow(label, is_own=permissions.is_own_label(request.actor, label))
        for label in newest[: MAX_LABELS_SHOWN + 1]
    ]
    own = next((row.label for row in rows if row.is_own and not hasattr(row.label, "retraction")), None)
    context = {
        "submission": submission,
        "answer": submission.latest_prediction,
        "is_pending": submission.state == SubmissionState.PENDING,
        "predictions": predictions,
        "has_crops": any(prediction.crop for prediction in predictions),
        "label_rows": rows[:MAX_LABELS_SHOWN],
        "has_more_labels": len(rows) > MAX_LABELS_SHOWN,
        "names_are_shown": request.actor.sees_all,
        "own_value": own.value if own else "",
        "values": TruthValue.choices,
        "can_label": permissions.can_label(request.actor, submission),
        "can_crop": permissions.can_crop(request.actor, submission),
        "can_delete": permissions.can_delete(request.actor, submission),
        "can_share": permissions.can_share(request.actor, submission),
        "share_url": _share_url(request, submission),
        "key": key,
    }
    return render(request, "recognizer/submission.html", context)


def _share_url(request: SiteRequest, submission: Submission) -> str:
    if not submission.share_key:
        return ""
    return request.build_absolute_uri(f"{submission.get_absolute_url()}?key={submission.share_key}")


@require_POST
def add_label(request: SiteRequest, public_id: str) -> HttpResponse:
    """Add the actor's label `value`."""
    submission = permissions.get_visible_submission(request.actor, public_id)
    try:
        recorded = labels.record_label(
            actor=request.actor,
            submission=submission,
            value=request.POST.get("value", ""),
            reason=LabelReason.SUBMISSION_PAGE,
        )
    except labels.LabelError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Noted: {recorded.label.get_value_display()}. Thank you.")
    return redirect(submission)


@require_POST
def retract(request: SiteRequest, public_id: str, label_id: int) -> HttpResponse:
    """Retract one of the actor's labels."""
    submission = permissions.get_visible_submission(request.actor, public_id)
    label = get_object_or_404(Label, pk=label_id, submission=submission)
    try:
        labels.retract(actor=request.actor, label=label)
    except labels.LabelError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Taken back.")
    return redirect(submission)


@require_POST
def set_crop(request: SiteRequest, public_id: str) -> HttpResponse:
    """Read the submission within the box `crop`, or as a whole."""
    submission = permissions.get_visible_submission(request.actor, public_id)
    form = CropForm(request.POST)
    if not form.is_valid():
        messages.error(request, str(form.errors["crop"][0]))
        return redirect(submission)
    crop, timeout = form.cleaned_data["crop"], settings.PREDICTION_WAIT_SECONDS
    try:
        crops.set_crop(actor=request.actor, submission=submission, crop=crop, timeout=timeout)
    except (SubmissionRejectedError, QuotaError) as error:
        messages.error(request, str(error))
    else:
        if submission.latest_prediction is not None:
            messages.success(request, f"Read again: {_describe(submission.latest_prediction)}")
    return redirect(submission)


def _describe(prediction: Prediction) -> str:
    text = verdict_sentence(prediction)
    if prediction.verdict == Verdict.SURE:
        text = f"{prediction.digit}. {text}"
    return text if text.endswith("?") else f"{text}."


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: SiteRequest, public_id: str) -> HttpResponse:
    """Ask for confirmation; a POST deletes the submission."""
    submission = permissions.get_visible_submission(request.actor, public_id)
    if not permissions.can_delete(request.actor, submission):
        raise permissions.NotAllowedError
    if request.method != "POST":
        return render(request, "recognizer/submission_delete.html", {"submission": submission})
    service.delete(actor=request.actor, submission=submission)
    messages.success(request, "Deleted, with everything that was said about it.")
    return redirect("history")


@require_POST
def share(request: SiteRequest, public_id: str) -> HttpResponse:
    """Create the share link, or with `stop` revoke it."""
    submission = permissions.get_visible_submission(request.actor, public_id)
    act = service.unshare if "stop" in request.POST else service.share
    act(actor=request.actor, submission=submission)
    return redirect(f"{reverse('submission', args=[public_id])}#share")
