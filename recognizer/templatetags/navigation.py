"""The main navigation and the tabs of the Review pages."""

from django import template
from django.urls import reverse

register = template.Library()

# Text, URL name, other URL names of the same section, and the attribute of Actor that must be true.
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
def navigation(context: template.Context) -> dict[str, object]:
    """Render the entries that the actor may use, and mark the current one."""
    request, actor = context.get("request"), context.get("actor")
    match = getattr(request, "resolver_match", None)
    current = match.url_name if match else None
    return {
        "entries": [
            {"text": text, "url": reverse(name), "is_current": current == name or current in related}
            for text, name, related, requirement in ENTRIES
            if requirement is None or (actor is not None and getattr(actor, requirement))
        ]
    }


# Text and URL name.
REVIEW_TABS = (("One at a time", "review"), ("Grid", "review-grid"), ("Figures", "review-figures"))


@register.inclusion_tag("recognizer/parts/review_tabs.html", takes_context=True)
def review_tabs(context: template.Context) -> dict[str, object]:
    """Render the tabs of the Review pages, and mark the current one."""
    current = context["request"].resolver_match.url_name
    return {"tabs": [{"text": text, "url": reverse(name), "is_current": current == name} for text, name in REVIEW_TABS]}
