"""Grid review: up to 60 submissions with the same predicted digit, to be corrected or confirmed in one request."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from recognizer.models import LabelReason, Submission, TruthValue
from recognizer.requests import SiteRequest
from recognizer.services.identity import permissions
from recognizer.services.review import labels, queue
from recognizer.services.review.labels import LabelError, LabelInput

# Value for a wrong prediction without a correct label: the submission stays unlabelled, in the queue.
WRONG = "wrong"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def grid(request: SiteRequest) -> HttpResponse:
    """Lease and show the submissions of a digit; a POST stores the decisions."""
    permissions.require_reviewer(request.actor)
    if request.method == "POST":
        return _confirm(request)
    sizes = queue.grid_sizes()
    digit = _parse_digit(request.GET.get("digit", ""))
    if digit is None:
        digit = max(sizes, key=lambda candidate: sizes[candidate])
    items = queue.lease_grid(actor=request.actor, digit=digit)
    context = {
        "digit": digit,
        "items": items,
        "sizes": [{"digit": d, "count": count, "is_current": d == digit} for d, count in sorted(sizes.items())],
        "choices": [(value, label) for value, label in TruthValue.choices if value != str(digit)],
    }
    return render(request, "recognizer/review_grid.html", context)


def _confirm(request: SiteRequest) -> HttpResponse:
    """Store the decisions of the form.

    Each `shown` is an id of a submission in the grid. `is-<id>` is its label, if that is not the grid's digit.
    """
    digit = _parse_digit(request.POST.get("digit", ""))
    shown = request.POST.getlist("shown")[: queue.MAX_BATCH_SIZE]
    rows = Submission.objects.without_large_columns().filter(public_id__in=shown)
    choices = {row: request.POST.get(f"is-{row.public_id}", "") or str(digit) for row in rows}
    inputs = [LabelInput(row, value, LabelReason.GRID) for row, value in choices.items() if value != WRONG]
    try:
        if digit is None:
            raise LabelError("Say which digit the grid shows.")
        recorded = labels.record_labels(actor=request.actor, inputs=inputs, released=choices)
    except LabelError as error:
        messages.error(request, str(error))
    else:
        _add_message(request, digit, len(recorded), sum(item.value != str(digit) for item in inputs))
    return redirect(f"{reverse('review-grid')}?digit={'' if digit is None else digit}")


def _add_message(request: SiteRequest, digit: int, labelled: int, corrected: int) -> None:
    if not labelled:
        return
    text = f"{labelled - corrected} confirmed as {digit}"
    messages.success(request, f"{text}, {corrected} corrected." if corrected else f"{text}.")


def _parse_digit(text: str) -> int | None:
    return int(text) if text in "0123456789" and len(text) == 1 else None
