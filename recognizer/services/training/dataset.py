"""Which settled labels train, and which measure.

Only settled truths of the train fold, given for training, train: each picture once, the newest first, so many of
one drawer and so many in all. A label that the live model contradicts with some certainty is *contested* until a second
look confirmed it, and weighs little: a wrong hand, or a wrong reviewer, cannot turn a digit into another by numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import numpy as np
from django.db.models import QuerySet

from ml.evaluation.gate import GateCheck
from ml.serving.classifier import Classifier
from ml.training.label_noise import contested_rows, find_suspected_noise
from ml.training.site_recipe import SiteData, SiteRecipe
from ml.versions import PREPROCESSING_VERSION
from recognizer.models import DIGITS, Fold, Label, LabelKind, LabelReason, Submission, TruthState, TruthValue
from recognizer.services.inference import batch_prediction

from .scheduling import trainable_submissions

# In all, and of one drawer: a quarter of what the others gave, but never less than a beginner's first labels.
MAX_DIGITS, MAX_NON_DIGITS = 20_000, 1_000
MAX_DRAWER_SHARE, MIN_PER_DRAWER = 0.25, 200
# The newest so many of the holdout measure; more would make no figure surer and every evaluation slower.
MAX_HOLDOUT = 5_000
COLUMNS = (
    *("pixels", "preprocessing_version", "ink", "strokes", "picture", "picture_type", "crop"),
    *("truth", "digest", "source", "owner_id", "visitor"),
)
# A label given for one of these reasons was a second look at a picture that had one.
SECOND_LOOKS = (LabelReason.SECOND_OPINION, LabelReason.SUSPECT)


@dataclass(frozen=True)
class TrainingDataset:
    """What a run learns from, and how it came about.

    Attributes:
        data: the pictures.
        counts: how many there were and what was left out, for people.
        fingerprint: of the pictures, their labels and the recipe.
        suspicions: failed checks of labels that look like somebody's aim.
    """

    data: SiteData
    counts: dict[str, object]
    fingerprint: str
    suspicions: list[GateCheck]


@dataclass(frozen=True)
class Holdout:
    """Settled digits that never train: images (N, 28, 28) uint8, labels (N,), and where each came from."""

    images: np.ndarray
    labels: np.ndarray
    sources: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype="U8"))


def build_dataset(champion: Classifier, recipe: SiteRecipe) -> TrainingDataset:
    """Choose what the next run learns from.

    Args:
        champion: of the live version; says which labels are contested.
        recipe: its fields are part of the fingerprint.
    """
    rows = _once_each(trainable_submissions())
    digits = _capped([row for row in rows if row.truth != TruthValue.NOT_A_DIGIT], MAX_DIGITS)
    others = _capped([row for row in rows if row.truth == TruthValue.NOT_A_DIGIT], MAX_NON_DIGITS)
    images, labels = _pixels(digits), _digits(digits)
    confirmed = _confirmed()
    looked_at_twice = np.array([row.digest in confirmed for row in digits], bool)
    doubted = contested_rows(champion, images, labels, recipe.doubts) & ~looked_at_twice
    aimed = find_suspected_noise(champion, images, labels, recipe.doubts, looked_at_twice)
    counts = {
        "settled": len(rows),
        "digits": len(digits),
        "per_digit": np.bincount(labels, minlength=10).tolist(),
        "contested": int(doubted.sum()),
        "non_digits": len(others),
        "left_out": len(rows) - len(digits) - len(others),
        "drawers": len({_drawer(row) for row in digits}),
    }
    lines = [f"{row.digest} {row.truth} {row.digest in confirmed}" for row in (*digits, *others)]
    data = SiteData(images, labels, doubted, _pixels(others))
    return TrainingDataset(data, counts, _fingerprint(lines, asdict(recipe)), aimed)


def holdout_set() -> Holdout:
    """The settled digits of the holdout fold, each picture once."""
    rows = _once_each(Submission.objects.filter(truth_state=TruthState.SETTLED, truth__in=DIGITS, fold=Fold.HOLDOUT))[
        :MAX_HOLDOUT
    ]
    return Holdout(_pixels(rows), _digits(rows), np.array([row.source for row in rows], dtype="U8"))


def _once_each(rows: QuerySet[Submission]) -> list[Submission]:
    """One row for each picture, the newest pictures first."""
    kept: dict[str, Submission] = {}
    for row in rows.only(*COLUMNS).order_by("-id").iterator():
        kept.setdefault(row.digest, row)
    return list(kept.values())


def _capped(rows: list[Submission], most: int) -> list[Submission]:
    of_one = max(MIN_PER_DRAWER, round(len(rows) * MAX_DRAWER_SHARE))
    seen: Counter[object] = Counter()
    kept = []
    for row in rows:
        seen[_drawer(row)] += 1
        if seen[_drawer(row)] <= of_one:
            kept.append(row)
    return kept[:most]


def _drawer(row: Submission) -> object:
    """Who drew it, as far as is known; what programs send without saying who counts as one drawer."""
    return row.owner_id or row.visitor or row.source


def _confirmed() -> set[str]:
    """Digests of pictures whose label a second look confirmed: by somebody else, or later and blind."""
    said = Label.objects.filter(
        kind=LabelKind.REVIEW, value__gt="", retraction__isnull=True, submission__truth_state=TruthState.SETTLED
    )
    looks: Counter[tuple[str, str]] = Counter()
    people: dict[tuple[str, str], set[int]] = {}
    for digest, value, user, reason in said.values_list("submission__digest", "value", "user_id", "reason").iterator():
        looks[digest, value] += reason in SECOND_LOOKS
        people.setdefault((digest, value), set()).add(user)
    return {digest for (digest, value), users in people.items() if len(users) > 1 or looks[digest, value]}


def _pixels(rows: Iterable[Submission]) -> np.ndarray:
    """(N, 28, 28) uint8, brought up to today's preprocessing where they are older."""
    images = []
    for row in rows:
        if row.preprocessing_version != PREPROCESSING_VERSION:
            batch_prediction.prepare_again(row)
        images.append(np.frombuffer(bytes(row.pixels), np.uint8).reshape(28, 28))
    return np.stack(images) if images else np.zeros((0, 28, 28), np.uint8)


def _digits(rows: Iterable[Submission]) -> np.ndarray:
    return np.array([int(row.truth) for row in rows], np.uint8)


def _fingerprint(lines: list[str], recipe: dict[str, object]) -> str:
    """Ordered before hashing: the same labels give the same fingerprint in whatever order they were given."""
    digest = hashlib.sha256(json.dumps([PREPROCESSING_VERSION, recipe], sort_keys=True).encode())
    for line in sorted(lines):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
