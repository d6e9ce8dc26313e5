"""Figures of reviewing: how quick it goes, how far reviewers agree, how good the live model is on real traffic.

Called by the review pages. Accuracy is computed from the random share of the queue alone, for every other rule picks
what the model finds hard, and from the answer that a submission got first, from the version that was live then.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Count, Min
from django.db.models.functions import TruncDate, TruncMinute
from django.utils import timezone

from ml.evaluation import wilson
from recognizer.models import Label, LabelKind, LabelReason, Prediction, TruthState

from . import queue
from .actors import Actor
from .labels import STANDING
from .matrices import DIGITS
from .retraining.requests import labels_until_next

PACE_WINDOW = timedelta(minutes=5)
PERIOD = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Progress:
    """`per_minute`: the reviewer's pace of the last minutes, None before there is any. `until_training`: None if
    labels start no training."""

    today: int
    per_minute: float | None
    waiting: int
    until_training: int | None


@dataclass(frozen=True, slots=True)
class Share:
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
    counted = dict(_recent().annotate(day=TruncDate("created")).values_list("day").annotate(count=Count("id")))
    days = (today - timedelta(days=ago) for ago in reversed(range(PERIOD.days)))
    return [(day, counted.get(day, 0)) for day in days]


def paces() -> list[Pace]:
    rows = _recent().filter(user__isnull=False).values_list("user__username")
    rows = rows.annotate(count=Count("id"), minutes=Count(TruncMinute("created"), distinct=True)).order_by("-count")
    return [Pace(*row) for row in rows]


def agreement() -> Share:
    """Of the pictures that several people reviewed, how many pairs of reviewers said the same."""
    reviews = Label.objects.filter(kind=LabelKind.REVIEW, user__isnull=False, **STANDING).order_by()
    twice = reviews.values("submission__digest").annotate(people=Count("user", distinct=True)).filter(people__gt=1)
    said = reviews.filter(submission__digest__in=twice.values("submission__digest")).order_by("id")
    words: dict[str, dict[int, str]] = defaultdict(dict)
    for digest, user, value in said.values_list("submission__digest", "user", "value"):
        words[digest][user] = value
    right = total = 0
    for values in words.values():
        said_by_all = list(values.values())
        pairs = [(one, other) for i, one in enumerate(said_by_all) for other in said_by_all[:i]]
        total += len(pairs)
        right += sum(one == other for one, other in pairs)
    return Share("agreement", right, total)


def accuracy_on_traffic() -> tuple[list[Share], list[Share]]:
    """Accuracy of the first answers to the random share's pictures of digits: by day of PERIOD, and by version."""
    drawn = Label.objects.filter(kind=LabelKind.REVIEW, reason=LabelReason.RANDOM, **STANDING).values("submission")
    answers = Prediction.objects.filter(
        submission__in=drawn, submission__truth_state=TruthState.SETTLED, submission__truth__in=DIGITS
    ).order_by("id")
    columns = ("submission", "submission__truth", "digit", "version__number", "created")
    first: dict[int, tuple] = {}
    for submission, *answer in answers.values_list(*columns):
        first.setdefault(submission, answer)
    since = timezone.now() - PERIOD
    by_day = ((created.date(), truth == str(digit)) for truth, digit, _, created in first.values() if created > since)
    by_version = ((number, truth == str(digit)) for truth, digit, number, _ in first.values())
    return _shares(by_day), _shares(by_version)


def _shares(outcomes: Iterable[tuple[Hashable, bool]]) -> list[Share]:
    right, total = defaultdict(int), defaultdict(int)
    for name, is_right in outcomes:
        right[name] += is_right
        total[name] += 1
    return [Share(name, right[name], total[name]) for name in sorted(total)]


def _recent():
    since = timezone.now() - PERIOD
    return Label.objects.filter(kind=LabelKind.REVIEW, value__gt="", created__gte=since).order_by()
