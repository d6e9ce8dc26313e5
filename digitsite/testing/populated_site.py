"""Bulk data of a long-running site: many submissions with predictions of two model versions, and labels."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, OuterRef, Subquery
from django.utils import timezone

from ml.versions import PREPROCESSING_VERSION
from recognizer.models import (
    Label,
    LabelKind,
    LabelReason,
    ModelVersion,
    Prediction,
    Source,
    Submission,
    SubmissionState,
    TruthState,
    Verdict,
)
from recognizer.services.identity.actors import Actor
from recognizer.services.registry import versions as model_versions
from recognizer.services.submissions.intake import fold_of

BATCH = 2000
# Shares of the submissions.
SETTLED, SUGGESTED, MISREAD = 0.3, 0.03, 0.03


def second_version() -> ModelVersion:
    """Create version 2 with the files of the live version."""
    first = model_versions.live_version()
    return ModelVersion.objects.create(
        number=2, parent=first, origin="training", keras_sha256="0", bundle_sha256="0", manifest=first.manifest
    )


@contextmanager
def explicit_timestamps() -> Iterator[None]:
    """Disable `auto_now_add` within the block, so that rows are stored with an explicit `created`."""
    fields = [model._meta.get_field("created") for model in (Submission, Prediction, Label)]
    for field in fields:
        field.auto_now_add = False
    yield
    for field in fields:
        field.auto_now_add = True


def fill(count: int, *, reviewers: list[Actor], settled: float = SETTLED) -> None:
    """Create submissions with strokes, two predictions each, and labels.

    Args:
        count: Number of submissions.
        reviewers: Authors of the review labels.
        settled: Share of submissions with a settled label.
    """
    chance = random.Random(count)
    versions = [model_versions.live_version(), second_version()]
    start = timezone.now() - timedelta(days=60)
    strokes = [[[round(chance.uniform(0, 280), 2) for _ in range(40)] for _ in range(2)] for _ in range(2)]
    with explicit_timestamps():
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            rows = [_submission(number, start + timedelta(days=60) * number / count, chance) for number in numbers]
            for row in rows:
                row.strokes = strokes
            predictions = [_predictions(row, versions, chance) for row in rows]
            labels = [_label(row, reviewers, settled, chance) for row in rows]
            Submission.objects.bulk_create(rows)
            Prediction.objects.bulk_create([prediction for pair in predictions for prediction in pair])
            Label.objects.bulk_create([label for label in labels if label])
    # `order_by("-id")[:1]` would make PostgreSQL, without statistics, scan all predictions for each submission.
    own = Prediction.objects.filter(submission=OuterRef("pk")).order_by().values("submission")
    newest = own.annotate(newest=Max("pk")).values("newest")
    Submission.objects.update(latest_prediction=Subquery(newest))


def _submission(number: int, created: datetime, chance: random.Random) -> Submission:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return Submission(
        created=created,
        source=chance.choice(Source.values),
        visitor=f"{number % 500:032d}",
        picture=f"pictures/{digest[:2]}/{digest}.png",
        picture_type="image/png",
        picture_width=280,
        picture_height=280,
        digest=digest,
        fold=fold_of(digest),
        pixels=bytes(784),
        ink={"width": 20.5, "components": 1},
        preprocessing_version=PREPROCESSING_VERSION,
        state=SubmissionState.PREDICTED,
    )


def _predictions(row: Submission, versions: list[ModelVersion], chance: random.Random) -> list[Prediction]:
    digit = chance.randrange(10)
    before, last = (
        _prediction(row, version, digit if chance.random() > MISREAD else (digit + 1) % 10, chance)
        for version in versions
    )
    row.answered_by, row.models_disagree = last.version.number, before.digit != last.digit
    for name in ("doubt", "digit", "certainty", "verdict"):
        setattr(row, name, getattr(last, name))
    return [before, last]


def _prediction(row: Submission, version: ModelVersion, digit: int, chance: random.Random) -> Prediction:
    doubt = chance.random() ** 4
    probabilities = [0.001] * 10
    probabilities[digit] = 1 - doubt / 2
    return Prediction(
        submission=row,
        version=version,
        created=row.created,
        preprocessing_version=PREPROCESSING_VERSION,
        probabilities=probabilities,
        digit=digit,
        certainty=1 - doubt / 2,
        runner_up=(digit + 3) % 10,
        energy=-9.0,
        doubt=doubt,
        verdict=Verdict.UNSURE if doubt > 0.4 else Verdict.SURE,
        milliseconds=0.1,
    )


def _label(row: Submission, reviewers: list[Actor], settled: float, chance: random.Random) -> Label | None:
    """Return a label for some submissions, and set the consensus that follows from it."""
    digit = row.digit or 0
    truth = str(digit if chance.random() > MISREAD else (digit + 5) % 10)
    fields: dict[str, Any] = {"submission": row, "value": truth, "created": row.created + timedelta(hours=1)}
    if chance.random() < settled:
        row.truth, row.truth_state = truth, TruthState.SETTLED
        reason = LabelReason.RANDOM if chance.random() < 0.15 else LabelReason.DOUBT
        return Label(kind=LabelKind.REVIEW, user=chance.choice(reviewers).user, reason=reason, **fields)
    if chance.random() < SUGGESTED:
        row.truth, row.truth_state = truth, TruthState.PROVISIONAL
        return Label(kind=LabelKind.SUGGESTION, visitor=row.visitor, reason=LabelReason.OWN_PAGE, **fields)
    return None
