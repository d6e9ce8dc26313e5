"""The History page: submissions that the actor may see, filtered by the query string, in pages."""

from django.core.exceptions import ValidationError
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recognizer import pagination
from recognizer.filters import SubmissionFilter
from recognizer.models import Digit, ModelVersion, Source, TruthState, TruthValue, Verdict
from recognizer.requests import SiteRequest
from recognizer.services.identity import permissions

# Divisible by 2, 3, 4, 6 and 8, the possible numbers of columns.
PAGE_SIZE = 48
CERTAINTIES = (("0.5", "50 %"), ("0.8", "80 %"), ("0.95", "95 %"), ("0.99", "99 %"))
ORDERINGS = (
    ("", "Newest first"),
    ("created", "Oldest first"),
    ("-doubt", "Most doubtful first"),
    ("doubt", "Surest first"),
)
CORRECTED = (("", "Any"), ("true", "Yes"), ("false", "No"))
OWNERS = (("", "Everyone’s"), ("true", "Mine"))
# Blank images are never stored.
VERDICTS = [(verdict.value, verdict.label) for verdict in Verdict if verdict != Verdict.BLANK]
TRUTH_STATES = (("", "Any"), *TruthState.choices)
PAGINATION_PARAMETERS = ("cursor", "page_size", "ordering")


@never_cache
@require_safe
def history(request: SiteRequest) -> HttpResponse:
    """Show a page of submissions and the filter form."""
    parameters = _without_empty(request.GET)
    if parameters != request.GET:
        # Without scripts, the form sends its empty fields too. Redirect to the canonical URL without them.
        return redirect(f"{request.path}?{parameters.urlencode()}" if parameters else request.path)
    rows = permissions.visible_submissions(request.actor).with_latest_prediction().without_large_columns()
    submissions = SubmissionFilter(parameters, queryset=rows, request=request)
    problems: list[str] = []
    page = pagination.Page([], None, None)
    try:
        submissions.check(other_names=pagination.PARAMETERS)
        page = pagination.paginate(
            submissions.qs, {"page_size": str(PAGE_SIZE), **{name: str(value) for name, value in parameters.items()}}
        )
    except ValidationError as error:
        problems = [f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items()]
    context = {
        "page": page,
        "problems": problems,
        "is_reviewer": request.actor.is_reviewer,
        "truth_values": TruthValue.choices,
        "current_url": request.get_full_path(),
        "filters": _filters(parameters, sees_all=request.actor.sees_all),
        "is_filtered": any(name not in PAGINATION_PARAMETERS for name in parameters),
    }
    return render(request, "recognizer/history.html", context, status=400 if problems else 200)


def _without_empty(parameters: QueryDict) -> QueryDict:
    result = QueryDict(mutable=True)
    for name, values in parameters.lists():
        nonempty = [value for value in values if value]
        if nonempty:
            result.setlist(name, nonempty)
    return result


def _filters(parameters: QueryDict, *, sees_all: bool) -> dict[str, object]:
    """Return the template context of the filter form: groups of checkboxes, selects and dates."""
    versions = [(str(number), f"Version {number}") for number in ModelVersion.objects.values_list("number", flat=True)]
    selects = [
        ("ordering", "Order", ORDERINGS),
        ("corrected", "Corrected", CORRECTED),
        ("certainty_min", "Certainty from", (("", "Any"), *CERTAINTIES)),
        ("certainty_max", "Certainty to", (("", "Any"), *CERTAINTIES)),
        ("version", "Model", (("", "Any"), *versions)),
    ]
    if sees_all:
        selects.insert(0, ("mine", "Whose", OWNERS))
        selects.append(("truth_state", "Truth", TRUTH_STATES))
        selects.append(("truth", "Shows, people say", (("", "Anything"), *TruthValue.choices)))
    version, _, digit = _predicted(parameters).partition(":")
    return {
        "predicted": {"value": f"{version}:{digit}", "version": version, "digit": digit} if digit else None,
        "checkboxes": [
            _checkboxes("digit", "Digit", [(str(value), label) for value, label in Digit.choices], parameters),
            _checkboxes("verdict", "Verdict", VERDICTS, parameters),
            _checkboxes("source", "Source", Source.choices, parameters),
        ],
        "selects": [
            {
                "name": name,
                "label": label,
                "options": [
                    {"value": value, "text": text, "is_selected": parameters.get(name, "") == value}
                    for value, text in options
                ],
            }
            for name, label, options in selects
        ],
        "dates": [
            {"name": "created_after", "label": "From", "value": parameters.get("created_after", "")},
            {"name": "created_before", "label": "Before", "value": parameters.get("created_before", "")},
        ],
    }


def _checkboxes(name: str, label: str, choices: list[tuple[str, str]], parameters: QueryDict) -> dict[str, object]:
    selected = parameters.getlist(name)
    return {
        "name": name,
        "label": label,
        "options": [{"value": value, "text": text, "is_selected": value in selected} for value, text in choices],
    }


def _predicted(parameters: QueryDict) -> str:
    """Return the value of the `predicted` filter, also under its deprecated name `said`."""
    return parameters.get("predicted") or parameters.get("said", "")
