"""A site that was used for a long while: many submissions, answered, some of them by two model versions, and labels."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db.models import OuterRef, Subquery
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
# Of the pictures.
SETTLED, SUGGESTED, MISREAD = 0.3, 0.03, 0.03


def second_version() -> ModelVersion:
    first = model_versions.live_version()
    return ModelVersion.objects.create(
        number=2, parent=first, origin="training", keras_sha256="0", bundle_sha256="0", manifest=first.manifest
    )


@contextmanager
def given_times() -> Iterator[None]:
    """Within, rows keep the `created` that they are given."""
    fields = [model._meta.get_field("created") for model in (Submission, Prediction, Label)]
    for field in fields:
        field.auto_now_add = False
    yield
    for field in fields:
        field.auto_now_add = True


def fill(count: int, *, reviewers: list[Actor], settled: float = SETTLED) -> None:
    """`count` submissions with strokes of a usual length, each read by two versions, a share of them labelled."""
    chance = random.Random(count)
    versions = [model_versions.live_version(), second_version()]
    start = timezone.now() - timedelta(days=60)
    strokes = [[[round(chance.uniform(0, 280), 2) for _ in range(40)] for _ in range(2)] for _ in range(2)]
    with given_times():
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            rows = [_submission(number, start + timedelta(days=60) * number / count, chance) for number in numbers]
            for row in rows:
                row.strokes = strokes
            answers = [_answers(row, versions, chance) for row in rows]
            words = [_word(row, reviewers, settled, chance) for row in rows]
            Submission.objects.bulk_create(rows)
            Prediction.objects.bulk_create([one for pair in answers for one in pair])
            Label.objects.bulk_create([one for one in words if one])
    newest = Prediction.objects.filter(submission=OuterRef("pk")).order_by("-id").values("pk")[:1]
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


def _answers(row: Submission, versions: list[ModelVersion], chance: random.Random) -> list[Prediction]:
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


def _word(row: Submission, reviewers: list[Actor], settled: float, chance: random.Random) -> Label | None:
    """What somebody says of it, if anybody does, with the truth that follows."""
    truth = str(row.digit if chance.random() > MISREAD else (row.digit + 5) % 10)
    said = {"submission": row, "value": truth, "created": row.created + timedelta(hours=1)}
    if chance.random() < settled:
        row.truth, row.truth_state = truth, TruthState.SETTLED
        reason = LabelReason.RANDOM if chance.random() < 0.15 else LabelReason.DOUBT
        return Label(kind=LabelKind.REVIEW, user=chance.choice(reviewers).user, reason=reason, **said)
    if chance.random() < SUGGESTED:
        row.truth, row.truth_state = truth, TruthState.PROVISIONAL
        return Label(kind=LabelKind.SUGGESTION, visitor=row.visitor, reason=LabelReason.OWN_PAGE, **said)
    return None
