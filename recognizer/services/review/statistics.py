"""Review statistics: pace and agreement of reviewers, and accuracy of the model on real traffic.

Accuracy is computed from the random share of the queue alone, because the other rules select difficult images. It uses
the first prediction of each submission, from the version that was live at the time.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations
from typing import Any

from django.db.models import BooleanField, CharField, Count, ExpressionWrapper, Min, Q, QuerySet
from django.db.models.functions import Cast, Substr
from django.utils import timezone

from ml.evaluation.metrics import wilson
from recognizer.models import DIGITS, Label, LabelReason, Prediction, Submission, TruthState
from recognizer.services.identity.actors import Actor
from recognizer.services.training.scheduling import labels_until_next

from . import queue

PACE_WINDOW = timedelta(minutes=5)
PERIOD = timedelta(days=30)
# Prefixes of a timestamp as both databases format it, in UTC: "2026-11-22 19:14:27.5…". Django's date functions call
# Python for each row on SQLite, which took longer than the rest of the query.
DAY, MINUTE = (Substr(Cast("created", CharField()), 1, length) for length in (10, 16))


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a reviewer.

    Attributes:
        today: Number of decisions today.
        per_minute: Decisions per minute in the last PACE_WINDOW; None for fewer than three.
        waiting: Number of submissions that wait for a review.
        until_training: Number of labels until the next training; None if labels do not start trainings.
    """

    today: int
    per_minute: float | None
    waiting: int
    until_training: int | None


@dataclass(frozen=True, slots=True)
class AccuracyShare:
    """A share of correct cases.

    Attributes:
        name: What the share is of, for example a day or the number of a version.
        right: Number of correct cases.
        total: Number of cases.
    """

    name: object
    right: int
    total: int

    @property
    def share(self) -> float:
        """`right` divided by `total`; 0 without cases."""
        return self.right / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the share."""
        return wilson(self.right, self.total)


@dataclass(frozen=True, slots=True)
class Pace:
    """Decisions of a reviewer in PERIOD.

    Attributes:
        reviewer: Name of the account.
        decisions: Number of decisions.
        minutes: Number of minutes with at least one decision.
    """

    reviewer: str
    decisions: int
    minutes: int

    @property
    def per_minute(self) -> float:
        """Decisions per minute with at least one decision."""
        return self.decisions / self.minutes


def progress(actor: Actor) -> Progress:
    """Return the progress of a reviewer."""
    now = timezone.now()
    decisions = Label.objects.reviews().filter(user=actor.user, value__gt="").order_by()
    recent = decisions.filter(created__gt=now - PACE_WINDOW).aggregate(count=Count("id"), first=Min("created"))
    minutes = (now - recent["first"]).total_seconds() / 60 if recent["first"] else 0
    return Progress(
        today=decisions.filter(created__gte=now.replace(hour=0, minute=0, second=0, microsecond=0)).count(),
        # Two decisions are too few for a pace, and over a window of seconds the pace would be absurd.
        per_minute=recent["count"] / max(minutes, 0.5) if recent["count"] > 2 else None,
        waiting=queue.count_waiting(),
        until_training=labels_until_next(),
    )


def decisions_by_day() -> list[tuple[date, int]]:
    """Return the number of reviews on each day of PERIOD, including days without any."""
    today = timezone.now().date()
    counts = dict(_recent().annotate(day=DAY).values_list("day").annotate(count=Count("id")))
    days = (today - timedelta(days=ago) for ago in reversed(range(PERIOD.days)))
    return [(day, counts.get(day.isoformat(), 0)) for day in days]


def reviewer_paces() -> list[Pace]:
    """Return the decisions of each reviewer in PERIOD, the busiest first."""
    rows = _recent().filter(user__isnull=False).values("user__username")
    rows = rows.annotate(decisions=Count("id"), minutes=Count(MINUTE, distinct=True)).order_by("-decisions")
    return [Pace(row["user__username"], row["decisions"], row["minutes"]) for row in rows]


def agreement() -> AccuracyShare:
    """Return the share of equal labels among all pairs of reviewers of the same image."""
    reviews = Label.objects.active().reviews().filter(user__isnull=False).order_by()
    twice = reviews.values("submission__digest").annotate(people=Count("user", distinct=True)).filter(people__gt=1)
    shown = Submission.objects.filter(digest__in=twice.values("submission__digest"))
    shared = reviews.filter(submission__in=shown).order_by("id")
    labels: dict[str, dict[int, str]] = defaultdict(dict)
    for digest, user, value in shared.values_list("submission__digest", "user", "value"):
        labels[digest][user] = value
    are_equal = [
        first == second
        for labels_by_user in labels.values()
        for first, second in combinations(labels_by_user.values(), 2)
    ]
    return AccuracyShare("agreement", sum(are_equal), len(are_equal))


def accuracy_on_traffic() -> tuple[list[AccuracyShare], list[AccuracyShare]]:
    """Return the accuracy of first predictions over the random share's digits.

    Returns:
        The accuracy on each day of PERIOD, and the accuracy of each version.
    """
    sample = Label.objects.active().reviews().filter(reason=LabelReason.RANDOM).order_by()
    predictions = Prediction.objects.filter(submission__in=sample.values("submission")).order_by()
    # Starts from the small sample, not from all settled submissions.
    first = predictions.values("submission").annotate(first=Min("pk")).values("first")
    first_predictions = Prediction.objects.filter(
        pk__in=first, submission__truth_state=TruthState.SETTLED, submission__truth__in=DIGITS
    ).order_by()
    is_right = ExpressionWrapper(Q(submission__truth=Cast("digit", CharField())), output_field=BooleanField())
    groups = first_predictions.annotate(day=DAY, is_right=is_right).values_list("day", "version__number", "is_right")
    counts = [(date.fromisoformat(day), *rest) for day, *rest in groups.annotate(count=Count("pk"))]
    since = timezone.now().date() - PERIOD
    by_day = ((day, is_right, count) for day, _, is_right, count in counts if day > since)
    by_version = ((version, is_right, count) for _, version, is_right, count in counts)
    return _shares(by_day), _shares(by_version)


def _shares(counts: Iterable[tuple[Any, bool, int]]) -> list[AccuracyShare]:
    """Return the share of correct cases for each name, sorted by name."""
    right: defaultdict[Any, int] = defaultdict(int)
    total: defaultdict[Any, int] = defaultdict(int)
    for name, is_right, count in counts:
        right[name] += count if is_right else 0
        total[name] += count
    return [AccuracyShare(name, right[name], total[name]) for name in sorted(total)]


def _recent() -> QuerySet[Label]:
    since = timezone.now() - PERIOD
    return Label.objects.reviews().filter(value__gt="", created__gte=since).order_by()
