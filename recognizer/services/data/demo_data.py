"""A site that looks used: digits written by simulated hands, answered by the live model, some of them labelled.

For `manage.py demo`, so that review and retraining can be tried before anybody has drawn anything. Every such
submission carries `demo`, which every page shows; `remove` deletes them all, with their labels and pictures.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from django.contrib.auth.models import Group, User
from django.utils import timezone

from ml.data import synthetic_digits
from ml.preprocessing import FRAME
from recognizer.models import Label, LabelReason, Prediction, Source, Submission, SubmissionState, TruthValue
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import batch_prediction
from recognizer.services.review import labels
from recognizer.services.submissions import service
from recognizer.services.submissions.bulk_delete import delete_submissions

WRITERS = 8
DAYS = 14
# Of what the hands wrote: how much is reviewed, in how much a review is one of the random share, how much of the rest
# its writer corrects where it was misread, and how often something else than a digit is drawn.
REVIEWED, AT_RANDOM, CORRECTED, SCRIBBLED = 0.35, 0.4, 0.7, 0.04
REVIEWER = "demo-reviewer"
BATCH = 64


class DemoError(RuntimeError):
    """The demo cannot be made here; the message says why."""


@dataclass(frozen=True, slots=True)
class Hand:
    """One writer: the way each digit is always written, and how it leans, spreads, trembles and hurries."""

    key: str
    shapes: dict[int, int]
    slant: float
    width: float
    size: float
    turn: float
    tremor: float
    haste: float

    @classmethod
    def any(cls, chance: np.random.Generator) -> "Hand":
        return cls(
            key=secrets.token_hex(16),
            shapes={digit: int(chance.integers(len(shapes))) for digit, shapes in synthetic_digits.SHAPES.items()},
            slant=chance.normal(0.08, 0.18),
            width=chance.uniform(0.75, 1.3),
            size=chance.uniform(0.55, 1.0),
            turn=chance.normal(0, 0.14),
            tremor=abs(chance.normal(0, 1.8)),
            haste=chance.uniform(0.01, 0.09),
        )

    def write(self, digit: int, chance: np.random.Generator) -> list[list[list[float]]]:
        """The digit as strokes on a canvas of FRAME x FRAME, each time a little different."""
        lines = synthetic_digits.SHAPES[digit][self.shapes[digit]](chance)
        return [self._stroke(points, is_round, chance) for points, is_round in lines]

    def scribble(self, chance: np.random.Generator) -> list[list[list[float]]]:
        """What is no digit: a line that goes here and there."""
        points = np.cumsum(chance.normal(0, 0.35, (int(chance.integers(6, 14)), 2)), axis=0)
        points = (points - points.min(0)) / np.maximum(np.ptp(points, axis=0), 0.2)
        return [self._stroke([(x - 0.5, y) for x, y in points.tolist()], True, chance)]

    def _stroke(self, points: list[tuple[float, float]], is_round: bool, chance: np.random.Generator) -> list:
        line = np.array(points) + chance.normal(0, self.haste, (len(points), 2))
        line = synthetic_digits.smooth(line, 3 if is_round else 1)
        turn, size = self.turn + chance.normal(0, 0.05), self.size * chance.uniform(0.9, 1.1)
        cos, sin = np.cos(turn), np.sin(turn)
        shape = np.array([[cos, -sin], [sin, cos]]) @ np.array([[self.width, -self.slant], [0, 1]])
        waves = np.sin(np.linspace(0, chance.uniform(8, 25), len(line))[:, None] + chance.uniform(0, 6, 2))
        x, y = (((line - [0, 0.5]) @ shape.T * size * 0.75 + 0.5) * FRAME + self.tremor * waves).T
        return [x.clip(2, FRAME - 2).round(1).tolist(), y.clip(2, FRAME - 2).round(1).tolist()]


def fill(count: int, *, seed: int = 0, say: Callable[[str], None] = lambda _: None) -> int:
    """Add `count` submissions of the last DAYS days; returns how many.

    Raises:
        DemoError: there is a demo already.
    """
    if Submission.objects.filter(demo=True).exists():
        raise DemoError("There is a demo here already. `manage.py demo --remove` takes it away.")
    chance = np.random.default_rng(seed)
    hands = [Hand.any(chance) for _ in range(WRITERS)]
    meant = {}
    for _ in range(count):
        hand = hands[int(chance.integers(len(hands)))]
        is_digit = chance.random() > SCRIBBLED
        digit = int(chance.integers(10))
        strokes = hand.write(digit, chance) if is_digit else hand.scribble(chance)
        actor = Actor(visitor=hand.key)
        one = service.create_from_strokes(actor=actor, strokes=strokes, source=Source.IMPORT, demo=True)
        meant[one.pk] = str(digit) if is_digit else TruthValue.NOT_A_DIGIT.value
    say(f"{count} pictures written by {WRITERS} hands")
    _have_them_answered(list(meant))
    say("answered by the live model")
    said = _label(meant, chance)
    _spread_over_time(list(meant))
    say(f"{said} labels given")
    return count


def remove() -> int:
    """Take the demo away: its submissions with their answers, labels and pictures, and its reviewer's account."""
    count = delete_submissions(Submission.objects.filter(demo=True))
    User.objects.filter(username=REVIEWER).delete()
    return count


def _have_them_answered(ids: list[int]) -> None:
    """In this process: replies of a worker, which this process would not read, would stay in Redis."""
    for start in range(0, len(ids), BATCH):
        batch_prediction.predict_batch(ids[start : start + BATCH])


def _label(meant: dict[int, str], chance: np.random.Generator) -> int:
    """Reviews of a share, and the writers' own corrections of what was misread."""
    reviewer = Actor(user=_reviewer())
    reviewed: dict[LabelReason, list] = {LabelReason.RANDOM: [], LabelReason.DOUBT: []}
    corrected = 0
    answered = Submission.objects.filter(pk__in=meant, state=SubmissionState.PREDICTED)
    for one in answered.only("digest", "digit", "visitor"):
        if chance.random() < REVIEWED:
            reason = LabelReason.RANDOM if chance.random() < AT_RANDOM else LabelReason.DOUBT
            reviewed[reason].append(labels.LabelInput(one, meant[one.pk], reason))
        elif str(one.digit) != meant[one.pk] and chance.random() < CORRECTED:
            writer = Actor(visitor=one.visitor)
            labels.create_label(actor=writer, submission=one, value=meant[one.pk], reason=LabelReason.OWN_PAGE)
            corrected += 1
    words = [word for some in reviewed.values() for word in some]
    labels.create_labels(actor=reviewer, inputs=words)
    User.objects.filter(pk=reviewer.user.pk).update(is_active=False)
    return len(words) + corrected


def _reviewer() -> User:
    """An account that nobody can sign in to. Inactive afterwards, it is no colleague to ask for a second opinion."""
    user, _ = User.objects.update_or_create(username=REVIEWER, defaults={"is_active": True})
    user.set_unusable_password()
    user.save()
    user.groups.add(Group.objects.get(name="reviewer"))
    return user


def _spread_over_time(ids: list[int]) -> None:
    """As if they had come one after the other in the last DAYS days."""
    start = timezone.now() - timedelta(days=DAYS)
    for number, pk in enumerate(ids):
        when = start + timedelta(days=DAYS) * number / len(ids)
        Submission.objects.filter(pk=pk).update(created=when)
        Prediction.objects.filter(submission=pk).update(created=when)
        Label.objects.filter(submission=pk).update(created=when + timedelta(minutes=number % 50))
