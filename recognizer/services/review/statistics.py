"""Figures of reviewing: how quick it goes, how far reviewers agree, how good the live model is on real traffic.

Accuracy is computed from the random share of the queue alone, for every other rule picks
what the model finds hard, and from the answer that a submission got first, from the version that was live then.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import BooleanField, CharField, Count, ExpressionWrapper, Min, Q, QuerySet
from django.db.models.functions import Cast, Substr
from django.utils import timezone

from ml.evaluation.metrics import wilson
from recognizer.models import DIGITS, Label, LabelKind, LabelReason, Prediction, Submission, TruthState
from recognizer.services.identity.actors import Actor
from recognizer.services.training.scheduling import labels_until_next

from . import queue
from .labels import ACTIVE

PACE_WINDOW = timedelta(minutes=5)
PERIOD = timedelta(days=30)
# A moment as both databases write it, in UTC: "2026-11-22 19:14:27.5…". For each row that Django's own functions cut to
# its day SQLite calls Python, which took longer than all the rest.
DAY, MINUTE = (Substr(Cast("created", CharField()), 1, length) for length in (10, 16))


@dataclass(frozen=True, slots=True)
class Progress:
    """`per_minute`: the reviewer's pace of the last minutes, None before there is any. `until_training`: None if
    labels start no training."""

    today: int
    per_minute: float | None
    waiting: int
    until_training: int | None


@dataclass(frozen=True, slots=True)
class AccuracyShare:
    """`right` of `total`, with the 95 % interval of the share behind it."""

    name: object
    right: int
    total: int

    @property
    def share(self) -> float:
        return self.right / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.total)


@dataclass(frozen=True, slots=True)
class Pace:
    """What one reviewer decided in PERIOD; `per_minute` counts only minutes in which they decided something."""

    reviewer: str
    decisions: int
    minutes: int

    @property
    def per_minute(self) -> float:
        return self.decisions / self.minutes


def progress(actor: Actor) -> Progress:
    now = timezone.now()
    mine = Label.objects.filter(user=actor.user, kind=LabelKind.REVIEW, value__gt="").order_by()
    lately = mine.filter(created__gt=now - PACE_WINDOW).aggregate(count=Count("id"), first=Min("created"))
    minutes = (now - lately["first"]).total_seconds() / 60 if lately["first"] else 0
    return Progress(
        today=mine.filter(created__gte=now.replace(hour=0, minute=0, second=0, microsecond=0)).count(),
        # Two decisions make no pace yet; a window of seconds would show absurd ones.
        per_minute=lately["count"] / max(minutes, 0.5) if lately["count"] > 2 else None,
        waiting=queue.waiting(),
        until_training=labels_until_next(),
    )


def decisions_by_day() -> list[tuple[date, int]]:
    """How many reviews each day of PERIOD brought, days without any included."""
    today = timezone.now().date()
    counted = dict(_recent().annotate(day=DAY).values_list("day").annotate(count=Count("id")))
    days = (today - timedelta(days=ago) for ago in reversed(range(PERIOD.days)))
    return [(day, counted.get(day.isoformat(), 0)) for day in days]


def reviewer_paces() -> list[Pace]:
    rows = _recent().filter(user__isnull=False).values_list("user__username")
    rows = rows.annotate(count=Count("id"), minutes=Count(MINUTE, distinct=True)).order_by("-count")
    return [Pace(*row) for row in rows]


def agreement() -> AccuracyShare:
    """Of the pictures that several people reviewed, how many pairs of reviewers said the same."""
    reviews = Label.objects.filter(kind=LabelKind.REVIEW, user__isnull=False, **ACTIVE).order_by()
    twice = reviews.values("submission__digest").annotate(people=Count("user", distinct=True)).filter(people__gt=1)
    shown = Submission.objects.filter(digest__in=twice.values("submission__digest"))
    said = reviews.filter(submission__in=shown).order_by("id")
    words: dict[str, dict[int, str]] = defaultdict(dict)
    for digest, user, value in said.values_list("submission__digest", "user", "value"):
        words[digest][user] = value
    right = total = 0
    for values in words.values():
        said_by_all = list(values.values())
        pairs = [(one, other) for i, one in enumerate(said_by_all) for other in said_by_all[:i]]
        total += len(pairs)
        right += sum(one == other for one, other in pairs)
    return AccuracyShare("agreement", right, total)


def accuracy_on_traffic() -> tuple[list[AccuracyShare], list[AccuracyShare]]:
    """Accuracy of the first answers to the random share's pictures of digits: by day of PERIOD, and by version."""
    drawn = Label.objects.filter(kind=LabelKind.REVIEW, reason=LabelReason.RANDOM, **ACTIVE).order_by()
    of_drawn = Prediction.objects.filter(submission__in=drawn.values("submission")).order_by()
    # From the few that were drawn to their rows, not from every settled submission to its answers.
    first = of_drawn.values("submission").annotate(first=Min("pk")).values("first")
    answers = Prediction.objects.filter(
        pk__in=first, submission__truth_state=TruthState.SETTLED, submission__truth__in=DIGITS
    ).order_by()
    is_right = ExpressionWrapper(Q(submission__truth=Cast("digit", CharField())), output_field=BooleanField())
    groups = answers.annotate(day=DAY, is_right=is_right).values_list("day", "version__number", "is_right")
    counts = [(date.fromisoformat(day), *rest) for day, *rest in groups.annotate(count=Count("pk"))]
    since = timezone.now().date() - PERIOD
    by_day = ((day, is_right, count) for day, _, is_right, count in counts if day > since)
    by_version = ((version, is_right, count) for _, version, is_right, count in counts)
    return _shares(by_day), _shares(by_version)


def _shares(counts: Iterable[tuple[object, bool, int]]) -> list[AccuracyShare]:
    right, total = defaultdict(int), defaultdict(int)
    for name, is_right, count in counts:
        right[name] += count if is_right else 0
        total[name] += count
    return [AccuracyShare(name, right[name], total[name]) for name in sorted(total)]


def _recent() -> QuerySet[Label]:
    since = timezone.now() - PERIOD
    return Label.objects.filter(kind=LabelKind.REVIEW, value__gt="", created__gte=since).order_by()
