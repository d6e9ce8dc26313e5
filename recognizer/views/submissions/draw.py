"""The Draw page, which is the home page. Its scripts use the JSON API."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from ml.serving.verdicts import Verdict
from recognizer.middleware import ensure_visitor
from recognizer.requests import SiteRequest
from recognizer.services.identity import training_consent
from recognizer.templatetags.formatting import ANSWER_WORDS, VERDICT_HINTS, VERDICT_SENTENCES

# Widths in units of the 280 x 280 canvas, and the radius of the dot on the button.
PENS = (
    {"name": "Thin", "width": 12, "dot": 3},
    {"name": "Medium", "width": 20, "dot": 5, "default": True},
    {"name": "Thick", "width": 30, "dot": 7.5},
)


@ensure_csrf_cookie
@require_safe
def draw(request: SiteRequest) -> HttpResponse:
    """Show the Draw page."""
    # Set the visitor here: two concurrent first requests of the scripts would get a different key each.
    actor = ensure_visitor(request)
    return render(
        request,
        "recognizer/draw.html",
        {
            "pens": PENS,
            "opted_out": training_consent.has_opted_out(actor),
            "digits": range(10),
            "words": ANSWER_WORDS,
            "blank_sentence": VERDICT_SENTENCES[Verdict.BLANK],
            "blank_hint": VERDICT_HINTS[Verdict.BLANK],
        },
    )
