"""Demo data: digits of simulated writers, predicted by the live model, some of them labelled.

`manage.py demo` adds them, so that review and retraining can be tried on a new site. These submissions have the flag
`demo`, which all pages show; `remove` deletes them with their labels and images.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from django.contrib.auth.models import Group, User
from django.utils import timezone

from ml.data.digit_shapes import SHAPES, PenLines, Rng
from ml.data.synthetic_digits import write_by_hand
from ml.preprocessing import FRAME
from recognizer.models import Label, LabelReason, Prediction, Source, Submission, SubmissionState, TruthValue
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import predict
from recognizer.services.review import labels
from recognizer.services.submissions import service
from recognizer.services.submissions.bulk_delete import delete_submissions

WRITERS = 8
DAYS = 14
REVIEWED_SHARE = 0.35
# Share of the reviews that are in the random share of the queue.
RANDOM_REVIEW_SHARE = 0.4
# Share of the wrong predictions without a review that the writer corrects.
CORRECTED_SHARE = 0.7
# Share of the drawings that are not digits.
SCRIBBLE_SHARE = 0.04
REVIEWER = "demo-reviewer"
BATCH = 64


class DemoError(RuntimeError):
    """The demo data cannot be created; the message says why."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A simulated writer with a constant style.

    Attributes:
        key: The visitor key.
        shapes: By digit, the index of the shape in `SHAPES` that the writer uses.
        slant: Shear of the writing.
        width: Factor of its width.
    """

    key: str
    shapes: dict[int, int]
    slant: float
    width: float

    @classmethod
    def random(cls, rng: Rng) -> "Writer":
        """Return a writer with a random style."""
        return cls(
            key=secrets.token_hex(16),
            shapes={digit: int(rng.integers(len(shapes))) for digit, shapes in SHAPES.items()},
            slant=rng.normal(0.08, 0.3),
            width=rng.uniform(0.6, 1.1),
        )

    def write(self, digit: int, rng: Rng) -> list[list[list[float]]]:
        """Draw a digit as strokes on a canvas of FRAME x FRAME, with random variation."""
        return self._draw(SHAPES[digit][self.shapes[digit]](rng), rng)

    def scribble(self, rng: Rng) -> list[list[list[float]]]:
        """Draw a random walk, which is not a digit, on a canvas of FRAME x FRAME."""
        points = np.cumsum(rng.normal(0, 0.35, (int(rng.integers(6, 14)), 2)), axis=0)
        return self._draw([(points.tolist(), True)], rng)

    def _draw(self, lines: PenLines, rng: Rng) -> list[list[list[float]]]:
        strokes = []
        for stroke in write_by_hand(lines, rng):
            x, y = np.array(stroke) - FRAME / 2
            x = (x * self.width - y * self.slant + FRAME / 2).clip(0, FRAME)
            strokes.append([x.round(1).tolist(), (y + FRAME / 2).round(1).tolist()])
        return strokes


def fill(count: int, *, seed: int = 0, report: Callable[[str], None] = lambda _: None) -> int:
    """Add submissions of the last DAYS days.

    Args:
        count: Number of submissions.
        seed: Seed of the random number generator.
        report: Called with a line of text after each step.

    Returns:
        The number of submissions.

    Raises:
        DemoError: There are demo data already.
    """
    if Submission.objects.filter(demo=True).exists():
        raise DemoError("There is a demo here already. `manage.py demo --remove` takes it away.")
    rng = np.random.default_rng(seed)
    writers = [Writer.random(rng) for _ in range(WRITERS)]
    labels_by_id = {}
    for _ in range(count):
        writer = writers[int(rng.integers(len(writers)))]
        is_digit = rng.random() > SCRIBBLE_SHARE
        digit = int(rng.integers(10))
        strokes = writer.write(digit, rng) if is_digit else writer.scribble(rng)
        actor = Actor(visitor=writer.key)
        submission = service.create_from_strokes(actor=actor, strokes=strokes, source=Source.IMPORT, demo=True)
        labels_by_id[submission.pk] = str(digit) if is_digit else TruthValue.NOT_A_DIGIT.value
    report(f"{count} images drawn by {WRITERS} writers")
    _predict(list(labels_by_id))
    report("predicted by the live model")
    label_count = _label(labels_by_id, rng)
    _spread_over_time(list(labels_by_id))
    report(f"{label_count} labels added")
    return count


def remove() -> int:
    """Delete the demo submissions with their predictions, labels and images, and the account of the demo reviewer.

    Returns:
        The number of deleted submissions.
    """
    count = delete_submissions(Submission.objects.filter(demo=True))
    User.objects.filter(username=REVIEWER).delete()
    return count


def _predict(ids: list[int]) -> None:
    """Predict in this process: it would not read the replies of a worker, which would stay in Redis."""
    for start in range(0, len(ids), BATCH):
        predict.predict_batch(ids[start : start + BATCH])


def _label(labels_by_id: dict[int, str], rng: Rng) -> int:
    """Add reviews of a share of the submissions, and corrections of wrong predictions by their writers."""
    reviewer = _create_reviewer()
    reviews = []
    corrections = 0
    predicted = Submission.objects.filter(pk__in=labels_by_id, state=SubmissionState.PREDICTED)
    for submission in predicted.only("digest", "digit", "visitor"):
        value = labels_by_id[submission.pk]
        if rng.random() < REVIEWED_SHARE:
            reason = LabelReason.RANDOM if rng.random() < RANDOM_REVIEW_SHARE else LabelReason.DOUBT
            reviews.append(labels.LabelInput(submission, value, reason))
        elif str(submission.digit) != value and rng.random() < CORRECTED_SHARE:
            writer = Actor(visitor=submission.visitor)
            labels.record_label(actor=writer, submission=submission, value=value, reason=LabelReason.OWN_PAGE)
            corrections += 1
    labels.record_labels(actor=Actor(user=reviewer), inputs=reviews)
    # An inactive account is not counted as an active reviewer, who could give second opinions.
    User.objects.filter(pk=reviewer.pk).update(is_active=False)
    return len(reviews) + corrections


def _create_reviewer() -> User:
    """Create an account with the role of a reviewer and without a password."""
    user, _ = User.objects.update_or_create(username=REVIEWER, defaults={"is_active": True})
    user.set_unusable_password()
    user.save()
    user.groups.add(Group.objects.get(name="reviewer"))
    return user


def _spread_over_time(ids: list[int]) -> None:
    """Set the creation times to regular intervals in the last DAYS days."""
    start = timezone.now() - timedelta(days=DAYS)
    for number, pk in enumerate(ids):
        created = start + timedelta(days=DAYS) * number / len(ids)
        Submission.objects.filter(pk=pk).update(created=created)
        Prediction.objects.filter(submission=pk).update(created=created)
        Label.objects.filter(submission=pk).update(created=created + timedelta(minutes=number % 50))
