"""Review of one submission at a time. Scripts use the JSON API; without scripts each button is a plain form."""

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from ml.serving.verdicts import Verdict
from recognizer.models import DIGITS, LabelReason, Submission, TruthValue
from recognizer.requests import SiteRequest
from recognizer.services.identity import permissions
from recognizer.services.review import labels, queue, statistics
from recognizer.services.review.labels import LabelError
from recognizer.templatetags.formatting import ANSWER_WORDS

# Labels other than a digit, with their keyboard keys.
OTHER_LABELS = ((TruthValue.NOT_A_DIGIT, "X"), (TruthValue.SEVERAL, "M"), (TruthValue.UNREADABLE, "R"))
# The label that Enter confirms, by verdict; for other verdicts the predicted digit.
LABEL_BY_VERDICT = {Verdict.NOT_A_DIGIT.value: TruthValue.NOT_A_DIGIT, Verdict.SEVERAL.value: TruthValue.SEVERAL}


@never_cache
@require_safe
def review(request: SiteRequest) -> HttpResponse:
    """Lease the next submission and show it."""
    rule = _parse_rule(request.GET.get("rule", ""))
    items = queue.lease_next(actor=request.actor, rule=rule, count=1)
    item = items[0] if items else None
    return render(
        request,
        "recognizer/review.html",
        {
            "item": item,
            "submission": item.submission if item else None,
            "answer": item.answer if item else None,
            "confirmed": _confirmed_label(item),
            "progress": statistics.progress(request.actor),
            "rule": rule,
            "rules": [{"value": r.value, "name": r.label, "text": text} for r, text in queue.RULES.items()],
            "rule_text": queue.RULES[rule],
            "digits": DIGITS,
            "other_labels": OTHER_LABELS,
            "can_undo": queue.last_decided(request.actor) is not None,
            "words": ANSWER_WORDS,
            "truths": dict(TruthValue.choices),
        },
    )


@require_POST
def decide(request: SiteRequest) -> HttpResponse:
    """Carry out `act`: `skip`, `undo` (the last decision) or a label for `submission`. Then show the next one."""
    permissions.require_reviewer(request.actor)
    rule = _parse_rule(request.POST.get("rule", ""))
    act = request.POST.get("act", "")
    if act == "undo":
        last = queue.last_decided(request.actor)
        if last is not None and queue.undo(actor=request.actor, submission=last) is None:
            messages.info(request, "Taken back. Another reviewer has it in front of them now.")
    else:
        submission = permissions.get_visible_submission(request.actor, request.POST.get("submission", ""))
        if act == "skip":
            queue.skip(actor=request.actor, submission=submission)
        else:
            _label(request, submission, act)
    return redirect(f"{reverse('review')}?{urlencode({'rule': rule.value})}")


def _label(request: SiteRequest, submission: Submission, value: str) -> None:
    try:
        labels.record_label(actor=request.actor, submission=submission, value=value, reason=LabelReason.SUBMISSION_PAGE)
    except LabelError as error:
        messages.error(request, str(error))


def _parse_rule(name: str) -> LabelReason:
    return LabelReason(name) if name in queue.RULES else LabelReason.DOUBT


def _confirmed_label(item: queue.ReviewItem | None) -> str:
    """Return the label that Enter gives the item, or "" if its prediction is not shown."""
    if item is None or item.answer is None:
        return ""
    return LABEL_BY_VERDICT.get(item.answer.verdict, str(item.answer.digit))
