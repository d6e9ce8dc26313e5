"""Review, one picture at a time. With scripts the page talks to the JSON API; without, each button is a plain form."""

from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from ml.serving.verdicts import Verdict
from recognizer.models import LabelReason, Submission, TruthValue
from recognizer.services.identity import permissions
from recognizer.services.review import decisions, queue, statistics
from recognizer.services.review.labels import LabelError
from recognizer.services.submissions.service import LARGE_COLUMNS
from recognizer.templatetags.formatting import ANSWER_WORDS

DIGITS = [value for value in TruthValue if len(value) == 1]
# What is no single digit, each with its key.
OTHERS = ((TruthValue.NOT_A_DIGIT, "X"), (TruthValue.SEVERAL, "M"), (TruthValue.UNREADABLE, "R"))
# What Enter confirms: the digit that was read, or that it is none.
CONFIRMED = {Verdict.NOT_A_DIGIT.value: TruthValue.NOT_A_DIGIT, Verdict.SEVERAL.value: TruthValue.SEVERAL}


@never_cache
@require_safe
def review(request: HttpRequest) -> HttpResponse:
    check_may_review(request)
    rule = rule_of(request.GET.get("rule", ""))
    items = queue.lease_next(actor=request.actor, rule=rule, count=1)
    item = items[0] if items else None
    return render(
        request,
        "recognizer/review.html",
        {
            "item": item,
            "submission": item.submission if item else None,
            "answer": item.answer if item else None,
            "confirmed": confirmed_by_enter(item),
            "progress": statistics.progress(request.actor),
            "rule": rule,
            "rules": [{"value": one.value, "name": one.label, "text": text} for one, text in queue.RULES.items()],
            "rule_text": queue.RULES[rule],
            "digits": DIGITS,
            "others": OTHERS,
            "can_undo": decisions.last_decided(request.actor) is not None,
            "words": ANSWER_WORDS,
            "truths": dict(TruthValue.choices),
        },
    )


@require_POST
def decide(request: HttpRequest) -> HttpResponse:
    """A label (`value`), or `skip`, for `submission`; `undo` takes back the last decision. Then the next one."""
    check_may_review(request)
    rule = rule_of(request.POST.get("rule", ""))
    act = request.POST.get("act", "")
    if act == "undo":
        last = decisions.last_decided(request.actor)
        if last is not None and decisions.undo(actor=request.actor, submission=last) is None:
            messages.info(request, "Taken back. Another reviewer has it in front of them now.")
    else:
        submission = find(request.POST.get("submission", ""))
        if act == "skip":
            decisions.skip(actor=request.actor, submission=submission)
        else:
            _label(request, submission, act)
    return redirect(f"{reverse('review')}?{urlencode({'rule': rule.value})}")


def _label(request: HttpRequest, submission: Submission, value: str) -> None:
    try:
        decisions.decide(actor=request.actor, submission=submission, value=value, otherwise=LabelReason.SUBMISSION_PAGE)
    except LabelError as error:
        messages.error(request, str(error))


def check_may_review(request: HttpRequest) -> None:
    try:
        queue.check_may_review(request.actor)
    except permissions.NotAllowedError as error:
        raise PermissionDenied(str(error)) from error


def find(public_id: str) -> Submission:
    submission = Submission.objects.defer(*LARGE_COLUMNS).filter(public_id=public_id).first()
    if submission is None:
        raise Http404
    return submission


def rule_of(name: str) -> LabelReason:
    return LabelReason(name) if name in queue.RULES else LabelReason.DOUBT


def confirmed_by_enter(item: queue.ReviewItem | None) -> str:
    """What "right" means for this item; nothing where the answer is not shown."""
    if item is None or item.answer is None:
        return ""
    return CONFIRMED.get(item.answer.verdict, str(item.answer.digit))
