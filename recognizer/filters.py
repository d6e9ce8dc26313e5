"""Query parameter filters of lists, shared by the History page and the JSON API."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import django_filters as filters
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, F, Func, Q, QuerySet
from django.db.models.functions import Cast
from django.db.models.sql.compiler import SQLCompiler

from recognizer.models import (
    Deployment,
    Digit,
    Fold,
    LabelKind,
    Prediction,
    RunState,
    Source,
    Submission,
    SubmissionState,
    TrainingRun,
    TruthState,
    TruthValue,
    Verdict,
)
from recognizer.services.identity import permissions
from recognizer.services.review import confusion_matrix

log = logging.getLogger(__name__)

# `version:digit` of the `predicted` filter.
PREDICTED_PATTERN = r"^[0-9]{1,9}:[0-9]\Z"
PREDICTED_MESSAGE = "Write a model version and a digit: 3:7."


def _validate_representable(value: datetime) -> None:
    """Reject a time that overflows the calendar when it is converted to UTC for the database query."""
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValidationError("This date lies outside the calendar.") from None


class DateTimeFilter(filters.IsoDateTimeFilter):  # type: ignore[misc] # django-filter has no annotations
    """An ISO 8601 date or time that can be represented in UTC."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, validators=[_validate_representable], **kwargs)


class StrictFilterSet(filters.FilterSet):  # type: ignore[misc] # django-filter has no annotations
    """A filter set that rejects unknown parameters. Its request has the caller, for filters such as `mine`."""

    def check(self, *, other_names: Iterable[str] = ()) -> None:
        """Validate the parameters.

        Args:
            other_names: Names of parameters that are accepted but belong to something else, such as pagination.

        Raises:
            ValidationError: A parameter is unknown or has an invalid value. Messages by parameter.
        """
        known = [*self.filters, *other_names]
        messages = {
            name: [f"There is no such parameter here. Use: {', '.join(sorted(known))}."]
            for name in self.data
            if name not in known
        }
        if not self.is_valid():
            messages |= {name: list(texts) for name, texts in self.form.errors.items()}
        if messages:
            raise ValidationError(messages)


class _MultiChoiceFilter(filters.MultipleChoiceFilter):  # type: ignore[misc] # django-filter has no annotations
    """Matches any of several values. Without DISTINCT, because no join here multiplies rows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, distinct=False, **kwargs)


class StrictBooleanFilter(filters.TypedChoiceFilter):  # type: ignore[misc] # django-filter has no annotations
    """Accepts only `true` and `false`; django-filter's own filter ignores other values."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=(("true", "Yes"), ("false", "No")), coerce=lambda text: text == "true", **kwargs)


class _PredictedFilter(filters.CharFilter):  # type: ignore[misc] # django-filter has no annotations
    """`version:digit`: the digit that one model version predicted.

    Attributes:
        is_deprecated: Marks the parameter as deprecated in the OpenAPI document.
    """

    def __init__(self, *, method: str, help_text: str, is_deprecated: bool = False) -> None:
        validators = [RegexValidator(PREDICTED_PATTERN, PREDICTED_MESSAGE)]
        super().__init__(method=method, validators=validators, help_text=help_text)
        self.is_deprecated = is_deprecated


class _CreatedOrdering(filters.OrderingFilter):  # type: ignore[misc] # django-filter has no annotations
    """Orders by creation. Ids are assigned in that order, so the id replaces the time."""

    def __init__(self) -> None:
        super().__init__(fields={"id": "created"}, help_text="`-created`: newest first (the default).")


class _CreatedOrDoubtOrdering(filters.OrderingFilter):  # type: ignore[misc] # django-filter has no annotations
    """Orders by creation or by doubt; rows of equal doubt by creation. Ordering by doubt excludes unpredicted rows."""

    def __init__(self) -> None:
        super().__init__(
            fields={"id": "created", "doubt": "doubt"},
            help_text="`-created`: newest first (the default). `-doubt`: most doubtful first; only submissions with a "
            "prediction.",
        )

    def filter(self, rows: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        """Apply the ordering, with the id as the tie-breaker that keyset pagination needs."""
        rows = super().filter(rows, value)
        names = [str(name) for name in rows.query.order_by]
        if not {"doubt", "-doubt"} & set(names):
            return rows
        if not {"id", "-id"} & set(names):
            names.append("-id" if names[-1].startswith("-") else "id")
        return rows.filter(doubt__isnull=False).order_by(*names)


class _NoIndex(Func):
    """A column for which SQLite must not use an index of its own.

    History is read in one order, and one narrow index covers every column it can be filtered by. A scan of that index
    takes 20 ms for 100,000 rows. Collecting 30,000 rows from a single-column index and sorting them takes ten times as
    long, and SQLite prefers that plan without statistics. https://www.sqlite.org/optoverview.html#uplus
    """

    template = "%(expressions)s"

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """Write the column with a unary plus, which hides it from the query planner."""
        return self.as_sql(compiler, connection, template="+%(expressions)s", **context)


# Columns of the index that covers History (see `_NoIndex`).
SCANNED = ("digit", "verdict", "certainty", "answered_by", "source", "state", "truth", "truth_state", "created")


class SubmissionFilter(StrictFilterSet):
    """Filters of History and of the list of submissions."""

    digit = _MultiChoiceFilter(field_name="scanned_digit", choices=Digit, help_text="The predicted digit.")
    verdict = _MultiChoiceFilter(field_name="scanned_verdict", choices=Verdict)
    certainty_min = filters.NumberFilter(field_name="scanned_certainty", lookup_expr="gte", min_value=0, max_value=1)
    certainty_max = filters.NumberFilter(field_name="scanned_certainty", lookup_expr="lte", min_value=0, max_value=1)
    version = filters.NumberFilter(
        field_name="scanned_answered_by",
        decimal_places=0,
        help_text="Number of the model version of the latest prediction.",
    )
    predicted = _PredictedFilter(
        method="filter_predicted",
        help_text="`3:7`: model version 3 predicted a 7, whatever later versions predicted.",
    )
    said = _PredictedFilter(
        method="filter_said", help_text="Deprecated name of `predicted`, accepted until 2.0.", is_deprecated=True
    )
    source = _MultiChoiceFilter(field_name="scanned_source", choices=Source)
    state = _MultiChoiceFilter(field_name="scanned_state", choices=SubmissionState)
    truth = _MultiChoiceFilter(
        field_name="scanned_truth", choices=TruthValue, help_text="The digit, by label consensus."
    )
    truth_state = _MultiChoiceFilter(field_name="scanned_truth_state", choices=TruthState)
    corrected = StrictBooleanFilter(
        method="filter_corrected", help_text="True: the label consensus differs from the prediction. False: all others."
    )
    created_after = DateTimeFilter(field_name="scanned_created", lookup_expr="gte", help_text="Date or time.")
    created_before = DateTimeFilter(field_name="scanned_created", lookup_expr="lt", help_text="Date or time.")
    mine = StrictBooleanFilter(
        method="filter_mine", help_text="True: only the caller's own submissions. Reviewers see everything without it."
    )
    ordering = _CreatedOrDoubtOrdering()

    def filter_queryset(self, rows: QuerySet[Submission]) -> QuerySet[Submission]:
        """Apply the filters to columns that SQLite reads from the covering index (see `_NoIndex`)."""
        return super().filter_queryset(rows.alias(**{f"scanned_{name}": _NoIndex(name) for name in SCANNED}))  # type: ignore[no-any-return] # django-filter has no annotations

    def filter_corrected(self, rows: QuerySet[Submission], _name: str, corrected: bool) -> QuerySet[Submission]:
        """Keep submissions whose label consensus differs from the prediction, or all others."""
        differs = Q(doubt__isnull=False) & ~Q(scanned_truth="") & ~Q(scanned_truth=_as_text("digit"))
        return rows.filter(differs) if corrected else rows.exclude(differs)

    def filter_predicted(self, rows: QuerySet[Submission], _name: str, value: str) -> QuerySet[Submission]:
        """Keep submissions for which the given version predicted the given digit."""
        version, digit = value.split(":")
        return rows.filter(confusion_matrix.parse_cell(version=int(version), digit=int(digit)))

    def filter_said(self, rows: QuerySet[Submission], name: str, value: str) -> QuerySet[Submission]:
        """Apply `predicted` under its deprecated name."""
        log.info("deprecated_parameter_used: said is now predicted")
        return self.filter_predicted(rows, name, value)

    def filter_mine(self, rows: QuerySet[Submission], _name: str, is_own: bool) -> QuerySet[Submission]:
        """Keep the caller's own submissions; False filters nothing."""
        return rows & permissions.own_submissions(self.request.actor) if is_own else rows


class PredictionFilter(StrictFilterSet):
    """Filters of the list of predictions."""

    submission = filters.CharFilter(field_name="submission__public_id", help_text="Id of one submission.")
    version = filters.NumberFilter(field_name="version__number", decimal_places=0)
    digit = _MultiChoiceFilter(choices=Digit)
    verdict = _MultiChoiceFilter(choices=Verdict)
    certainty_min = filters.NumberFilter(field_name="certainty", lookup_expr="gte", min_value=0, max_value=1)
    certainty_max = filters.NumberFilter(field_name="certainty", lookup_expr="lte", min_value=0, max_value=1)
    source = _MultiChoiceFilter(field_name="submission__source", choices=Source)
    reviewed = StrictBooleanFilter(method="filter_reviewed", help_text="Whether the label consensus is settled.")
    correct = StrictBooleanFilter(
        method="filter_correct",
        help_text="Whether the prediction equals the settled consensus. Unsettled submissions are left out.",
    )
    created_after = DateTimeFilter(field_name="created", lookup_expr="gte")
    created_before = DateTimeFilter(field_name="created", lookup_expr="lt")
    ordering = _CreatedOrDoubtOrdering()

    def filter_reviewed(self, rows: QuerySet[Prediction], _name: str, reviewed: bool) -> QuerySet[Prediction]:
        """Keep predictions of submissions with a settled consensus, or all others."""
        settled = Q(submission__truth_state=TruthState.SETTLED)
        return rows.filter(settled if reviewed else ~settled)

    def filter_correct(self, rows: QuerySet[Prediction], _name: str, correct: bool) -> QuerySet[Prediction]:
        """Keep predictions that equal the settled consensus, or those that differ from it."""
        same = Q(submission__truth=_as_text("digit"))
        return rows.filter(same if correct else ~same, submission__truth_state=TruthState.SETTLED)


class LabelFilter(StrictFilterSet):
    """Filters of the list of labels."""

    submission = filters.CharFilter(field_name="submission__public_id", help_text="Id of one submission.")
    kind = _MultiChoiceFilter(choices=LabelKind)
    value = _MultiChoiceFilter(choices=TruthValue)
    created_after = DateTimeFilter(field_name="created", lookup_expr="gte")
    created_before = DateTimeFilter(field_name="created", lookup_expr="lt")
    ordering = _CreatedOrdering()


class ModelVersionFilter(StrictFilterSet):
    """Order of the list of model versions."""

    ordering = filters.OrderingFilter(fields=["number"], help_text="`-number`: newest first (the default).")


class TrainingRunFilter(StrictFilterSet):
    """Filters of the list of training runs."""

    state = _MultiChoiceFilter(choices=RunState)
    trigger = _MultiChoiceFilter(choices=TrainingRun.Trigger)
    ordering = _CreatedOrdering()


class DeploymentFilter(StrictFilterSet):
    """Filters of the list of deployments."""

    kind = _MultiChoiceFilter(choices=Deployment.Kind)


class SettledFilter(StrictFilterSet):
    """Filters of an export of settled data."""

    truth = _MultiChoiceFilter(choices=TruthValue, help_text="The settled label.")
    fold = _MultiChoiceFilter(choices=Fold, help_text="`holdout` is never used for training.")
    source = _MultiChoiceFilter(choices=Source)
    demo = StrictBooleanFilter(field_name="demo", help_text="False: without the submissions of the demo.")
    created_after = DateTimeFilter(field_name="created", lookup_expr="gte")
    created_before = DateTimeFilter(field_name="created", lookup_expr="lt")


def _as_text(column: str) -> Cast:
    return Cast(F(column), CharField())
