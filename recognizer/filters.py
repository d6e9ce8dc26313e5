"""Filters of lists, read from the address: History and the JSON API use the same ones."""

import copy
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar

import django_filters as filters
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, F, Func, Q, QuerySet
from django.db.models.functions import Cast
from django.db.models.sql.compiler import SQLCompiler
from django.forms import Form
from django.http import QueryDict

from recognizer.models import (
    Deployment,
    Digit,
    Fold,
    Label,
    LabelKind,
    ModelVersion,
    Prediction,
    RunState,
    Source,
    Submission,
    SubmissionState,
    Token,
    TrainingRun,
    TruthState,
    TruthValue,
    Verdict,
)
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.review import confusion_matrix

SAID = r"^[0-9]{1,9}:[0-9]\Z"


def _representable(value: datetime) -> None:
    """A moment near the ends of the calendar may lie beyond them in UTC, which is what the database is asked for."""
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValidationError("This date lies outside the calendar.") from None


class DateTimeFilter(filters.IsoDateTimeFilter):
    """A date or time that the database can be asked for."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, validators=[_representable], **kwargs)


class _Filters(OrderedDict):
    """The filters of one kind of list. The library copies them for each request, with everything that they hold.

    A request writes only to the filter itself: to which model and filter set it belongs. So that alone is copied.
    """

    def __deepcopy__(self, _memo: dict) -> "_Filters":
        copies = _Filters((name, copy.copy(one)) for name, one in self.items())
        for one in copies.values():
            one.method = one.method  # what calls the method is bound to its filter
        return copies


class StrictFilterSet(filters.FilterSet):
    """Filters that know who is asking and can refuse what they do not know."""

    _form_classes: ClassVar[dict[type, type[Form]]] = {}

    def __init__(self, data: QueryDict, queryset: QuerySet, *, actor: Actor) -> None:
        super().__init__(data, queryset)
        self.actor = actor

    @classmethod
    def get_filters(cls) -> _Filters:
        return _Filters(super().get_filters())

    def get_form_class(self) -> type[Form]:
        """Made once for each kind of list; the library would make one for each request."""
        kind = type(self)
        if kind not in self._form_classes:
            self._form_classes[kind] = super().get_form_class()
        return self._form_classes[kind]

    def check(self, *, others: Iterable[str] = ()) -> None:
        """Raises:
        ValidationError: a parameter is unknown (and none of `others`), or has a value that makes no sense.
        """
        known = [*self.filters, *others]
        messages = {
            name: [f"There is no such parameter here. Use: {', '.join(sorted(known))}."]
            for name in self.data
            if name not in known
        }
        if not self.is_valid():
            messages |= {name: list(texts) for name, texts in self.form.errors.items()}
        if messages:
            raise ValidationError(messages)


class _MultiChoiceFilter(filters.MultipleChoiceFilter):
    """Any of the values given. No join here multiplies rows, so DISTINCT would only cost."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, distinct=False, **kwargs)


class StrictBooleanFilter(filters.TypedChoiceFilter):
    """`true` or `false`; unlike the library's own filter it refuses everything else."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(choices=(("true", "Yes"), ("false", "No")), coerce=lambda text: text == "true", **kwargs)


class _CreatedOrdering(filters.OrderingFilter):
    """Newest or oldest first; the id, given in the order of creation, stands for the time."""

    def __init__(self) -> None:
        super().__init__(fields={"id": "created"}, help_text="`-created`: newest first (as without it).")


class _CreatedOrDoubtOrdering(filters.OrderingFilter):
    """By time or by doubt, rows of one doubt by time. What has no answer has no doubt: that order leaves it out."""

    def __init__(self) -> None:
        super().__init__(
            fields={"id": "created", "doubt": "doubt"},
            help_text="`-created`: newest first (as without it). `-doubt`: most doubtful first, answered ones only.",
        )

    def filter(self, rows: QuerySet, value: list[str]) -> QuerySet:
        rows = super().filter(rows, value)
        names = list(rows.query.order_by)
        if not {"doubt", "-doubt"} & set(names):
            return rows
        if not {"id", "-id"} & set(names):
            names.append("-id" if names[-1].startswith("-") else "id")
        return rows.filter(doubt__isnull=False).order_by(*names)


class _NoIndex(Func):
    """A column that SQLite is not to look up in an index of its own.

    History is read in one order, and one narrow index holds every column that it can be filtered by. Walking that one
    takes 20 ms for 100,000 rows; gathering 30,000 rows from the index of one column, and sorting them, ten times as
    long, and without statistics SQLite prefers it. https://www.sqlite.org/optoverview.html#uplus
    """

    template = "%(expressions)s"

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: object) -> tuple[str, list]:
        return self.as_sql(compiler, connection, template="+%(expressions)s", **context)


SCANNED = ("digit", "verdict", "certainty", "answered_by", "source", "state", "truth", "truth_state", "created")


class SubmissionFilter(StrictFilterSet):
    """What History and the list of submissions can be narrowed down to."""

    digit = _MultiChoiceFilter(field_name="scanned_digit", choices=Digit, help_text="The digit that was read.")
    verdict = _MultiChoiceFilter(field_name="scanned_verdict", choices=Verdict)
    certainty_min = filters.NumberFilter(field_name="scanned_certainty", lookup_expr="gte", min_value=0, max_value=1)
    certainty_max = filters.NumberFilter(field_name="scanned_certainty", lookup_expr="lte", min_value=0, max_value=1)
    version = filters.NumberFilter(
        field_name="scanned_answered_by",
        decimal_places=0,
        help_text="Number of the model version that answered last.",
    )
    said = filters.CharFilter(
        method="filter_said",
        validators=[RegexValidator(SAID, "Write a model version and a digit: 3:7.")],
        help_text="`3:7`: model version 3 read a 7, whatever was read since.",
    )
    source = _MultiChoiceFilter(field_name="scanned_source", choices=Source)
    state = _MultiChoiceFilter(field_name="scanned_state", choices=SubmissionState)
    truth = _MultiChoiceFilter(
        field_name="scanned_truth", choices=TruthValue, help_text="What people say that it shows."
    )
    truth_state = _MultiChoiceFilter(field_name="scanned_truth_state", choices=TruthState)
    corrected = StrictBooleanFilter(
        method="filter_corrected", help_text="True: people say something else than was read. False: all others."
    )
    created_after = DateTimeFilter(field_name="scanned_created", lookup_expr="gte", help_text="Date or time.")
    created_before = DateTimeFilter(field_name="scanned_created", lookup_expr="lt", help_text="Date or time.")
    mine = StrictBooleanFilter(
        method="filter_mine", help_text="True: only what the caller sent. Reviewers see everything without it."
    )
    ordering = _CreatedOrDoubtOrdering()

    class Meta:
        model = Submission
        fields: list[str] = []

    def filter_queryset(self, rows: QuerySet) -> QuerySet:
        return super().filter_queryset(rows.alias(**{f"scanned_{name}": _NoIndex(name) for name in SCANNED}))

    def filter_corrected(self, rows: QuerySet, _name: str, corrected: bool) -> QuerySet:
        differs = Q(doubt__isnull=False) & ~Q(scanned_truth="") & ~Q(scanned_truth=_as_text("digit"))
        return rows.filter(differs) if corrected else rows.exclude(differs)

    def filter_said(self, rows: QuerySet, _name: str, said: str) -> QuerySet:
        version, digit = said.split(":")
        return rows.filter(confusion_matrix.parse_cell(version=int(version), digit=int(digit)))

    def filter_mine(self, rows: QuerySet, _name: str, mine: bool) -> QuerySet:
        return rows & permissions.own_submissions(self.actor) if mine else rows


class PredictionFilter(StrictFilterSet):
    """What the history of predictions can be narrowed down to."""

    submission = filters.CharFilter(field_name="submission__public_id", help_text="Id of one submission.")
    version = filters.NumberFilter(field_name="version__number", decimal_places=0)
    digit = _MultiChoiceFilter(choices=Digit)
    verdict = _MultiChoiceFilter(choices=Verdict)
    certainty_min = filters.NumberFilter(field_name="certainty", lookup_expr="gte", min_value=0, max_value=1)
    certainty_max = filters.NumberFilter(field_name="certainty", lookup_expr="lte", min_value=0, max_value=1)
    source = _MultiChoiceFilter(field_name="submission__source", choices=Source)
    reviewed = StrictBooleanFilter(method="filter_reviewed", help_text="Whether the truth is settled.")
    correct = StrictBooleanFilter(
        method="filter_correct", help_text="Whether the digit is the settled truth; what is not settled is left out."
    )
    created_after = DateTimeFilter(field_name="created", lookup_expr="gte")
    created_before = DateTimeFilter(field_name="created", lookup_expr="lt")
    ordering = _CreatedOrDoubtOrdering()

    class Meta:
        model = Prediction
        fields: list[str] = []

    def filter_reviewed(self, rows: QuerySet, _name: str, reviewed: bool) -> QuerySet:
        settled = Q(submission__truth_state=TruthState.SETTLED)
        return rows.filter(settled if reviewed else ~settled)

    def filter_correct(self, rows: QuerySet, _name: str, correct: bool) -> QuerySet:
        same = Q(submission__truth=_as_text("digit"))
        return rows.filter(same if correct else ~same, submission__truth_state=TruthState.SETTLED)


class LabelFilter(StrictFilterSet):
    submission = filters.CharFilter(field_name="submission__public_id", help_text="Id of one submission.")
    kind = _MultiChoiceFilter(choices=LabelKind)
    value = _MultiChoiceFilter(choices=TruthValue)
    created_after = DateTimeFilter(field_name="created", lookup_expr="gte")
    created_before = DateTimeFilter(field_name="created", lookup_expr="lt")
    ordering = _CreatedOrdering()

    class Meta:
        model = Label
        fields: list[str] = []


class ModelVersionFilter(StrictFilterSet):
    ordering = filters.OrderingFilter(fields=["number"], help_text="`-number`: newest first (as without it).")

    class Meta:
        model = ModelVersion
        fields: list[str] = []


class TrainingRunFilter(StrictFilterSet):
    state = _MultiChoiceFilter(choices=RunState)
    trigger = _MultiChoiceFilter(choices=TrainingRun.Trigger)
    ordering = _CreatedOrdering()

    class Meta:
        model = TrainingRun
        fields: list[str] = []


class DeploymentFilter(StrictFilterSet):
    kind = _MultiChoiceFilter(choices=Deployment.Kind)

    class Meta:
        model = Deployment
        fields: list[str] = []


class SettledFilter(StrictFilterSet):
    """What an export of settled data can be narrowed down to."""

    truth = _MultiChoiceFilter(choices=TruthValue, help_text="What it shows.")
    fold = _MultiChoiceFilter(choices=Fold, help_text="`holdout` never trains the site's own models.")
    source = _MultiChoiceFilter(choices=Source)
    demo = StrictBooleanFilter(field_name="demo", help_text="False: without what the demo drew.")
    created_after = DateTimeFilter(field_name="created", lookup_expr="gte")
    created_before = DateTimeFilter(field_name="created", lookup_expr="lt")

    class Meta:
        model = Submission
        fields: list[str] = []


class TokenFilter(StrictFilterSet):
    class Meta:
        model = Token
        fields: list[str] = []


def _as_text(column: str) -> Cast:
    return Cast(F(column), CharField())
