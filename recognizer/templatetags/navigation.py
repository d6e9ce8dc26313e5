"""The site's main navigation: each entry with the page it leads to and who may see it."""

from django import template
from django.urls import reverse

register = template.Library()

# Text, url name, further url names of the same section, and what the actor must be (an attribute of Actor).
ENTRIES = (
    ("Draw", "draw", (), None),
    ("Upload", "upload", ("upload-results",), None),
    ("History", "history", ("submission", "submission-delete", "matrix", "history-bulk"), None),
    ("Review", "review", ("review-grid", "review-figures"), "is_reviewer"),
    ("Models", "models", ("model", "training-run"), "is_operator"),
    ("Status", "status", (), "is_operator"),
    ("API", "api-docs", (), None),
)


@register.inclusion_tag("recognizer/parts/navigation.html", takes_context=True)
def navigation(context: template.Context) -> dict:
    request, actor = context.get("request"), context.get("actor")
    match = getattr(request, "resolver_match", None)
    here = match.url_name if match else None
    return {
        "entries": [
            {"text": text, "url": reverse(name), "is_here": here == name or here in others}
            for text, name, others, needs in ENTRIES
            if needs is None or (actor is not None and getattr(actor, needs))
        ]
    }


# The pages of Review: text and url name.
REVIEW_TABS = (("One at a time", "review"), ("Grid", "review-grid"), ("Figures", "review-figures"))


@register.inclusion_tag("recognizer/parts/review_tabs.html", takes_context=True)
def review_tabs(context: template.Context) -> dict:
    here = context["request"].resolver_match.url_name
    return {"tabs": [{"text": text, "url": reverse(name), "is_here": here == name} for text, name in REVIEW_TABS]}
