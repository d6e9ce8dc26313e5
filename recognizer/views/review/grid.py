"""Grid mode: up to 60 pictures that were all read as one digit; mark the wrong ones, confirm the rest at once."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from recognizer.models import LabelReason, Submission, TruthValue
from recognizer.services.review import decisions, queue
from recognizer.services.review.labels import LabelError
from recognizer.services.submissions.service import LARGE_COLUMNS

from .queue import check_may_review

# A picture that is wrong, while nobody said what it is, stays unlabelled and waits in the queue.
WRONG = "wrong"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def grid(request: HttpRequest) -> HttpResponse:
    check_may_review(request)
    if request.method == "POST":
        return _confirm(request)
    sizes = queue.grid_sizes()
    digit = _digit(request.GET.get("digit", ""))
    if digit is None:
        digit = max(sizes, key=lambda one: sizes[one])
    items = queue.lease_grid(actor=request.actor, digit=digit)
    context = {
        "digit": digit,
        "items": items,
        "sizes": [{"digit": one, "count": count, "is_here": one == digit} for one, count in sorted(sizes.items())],
        "choices": [(value, label) for value, label in TruthValue.choices if value != str(digit)],
    }
    return render(request, "recognizer/review_grid.html", context)


def _confirm(request: HttpRequest) -> HttpResponse:
    """`shown` names every picture; `is-<id>` says what one of them is, where it is not the grid's digit."""
    digit = _digit(request.POST.get("digit", ""))
    shown = request.POST.getlist("shown")[: queue.MAX_BATCH_SIZE]
    there = Submission.objects.defer(*LARGE_COLUMNS).filter(public_id__in=shown)
    said = {one: request.POST.get(f"is-{one.public_id}", "") or str(digit) for one in there}
    values = {one: value for one, value in said.items() if value != WRONG}
    try:
        if digit is None:
            raise LabelError("Say which digit the grid shows.")
        done = decisions.decide_many(
            actor=request.actor,
            values=values,
            otherwise=LabelReason.GRID,
            undecided=said.keys() - values.keys(),
        )
    except LabelError as error:
        messages.error(request, str(error))
    else:
        _report(request, digit, len(done), sum(value != str(digit) for value in values.values()))
    return redirect(f"{reverse('review-grid')}?digit={'' if digit is None else digit}")


def _report(request: HttpRequest, digit: int, done: int, corrected: int) -> None:
    if not done:
        return
    text = f"{done - corrected} confirmed as {digit}"
    messages.success(request, f"{text}, {corrected} corrected." if corrected else f"{text}.")


def _digit(given: str) -> int | None:
    return int(given) if given in "0123456789" and len(given) == 1 else None
