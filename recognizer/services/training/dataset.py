"""Construction of the training dataset and of the holdout set from settled labels.

Training uses settled labels of the train fold that may be used for training: each image once, newest first, with a cap
for each drawer and in total. A label that the live model contradicts with certainty is *contested* until a second
review confirms it, and has little weight, so that a malicious drawer or reviewer cannot change a digit by submitting
many labels.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml.evaluation.datasets import EvalDataset, Role
from ml.evaluation.gate import HOLDOUT
from ml.serving.classifier import choose_pixels
from ml.training.label_noise import find_label_noise
from ml.training.site_recipe import SiteData
from ml.versions import PREPROCESSING_VERSION
from recognizer.models import Label, LabelReason, Source, Submission, TruthState, TruthValue
from recognizer.services.inference import predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet

    from ml.evaluation.gate_checks import GateCheck
    from ml.readings import Reading
    from ml.serving.classifier import Classifier
    from ml.training.site_recipe import SiteRecipe

# Caps in total and for one drawer: a quarter of all images, but at least the first 200.
MAX_DIGITS, MAX_NON_DIGITS = 20_000, 1_000
MAX_DRAWER_SHARE, MIN_PER_DRAWER = 0.25, 200
# Number of holdout images, newest first; more would make evaluations slower and the metrics hardly more precise.
MAX_HOLDOUT = 5_000
COLUMNS = (
    *(
        "pixels",
        "ink",
        "further_pixels",
        "further_ink",
        "preprocessing_version",
        "strokes",
        "picture",
        "picture_type",
        "crop",
    ),
    *("truth", "digest", "source", "owner_id", "visitor"),
)
# Labels with one of these reasons come from a second review of an image.
SECOND_REVIEW_REASONS = (LabelReason.SECOND_OPINION, LabelReason.SUSPECT)


@dataclass(frozen=True)
class TrainingDataset:
    """The site's training data of a run.

    Attributes:
        data: images and labels.
        counts: numbers of selected and omitted images, stored with the version.
        fingerprint: hash of the chosen readings, their labels and the recipe.
        suspicions: failed gate checks of groups of labels that suggest label poisoning.
    """

    data: SiteData
    counts: dict[str, object]
    fingerprint: str
    suspicions: list[GateCheck]

    @property
    def description(self) -> str:
        """A sentence about the selected images."""
        counts = self.counts
        line = f"{counts['digits']} labelled digits of {counts['drawers']} drawers, {counts['non_digits']} non-digits."
        if counts["contested"]:
            line += f" {counts['contested']} contradict the live model, are not confirmed yet, and have little weight."
        if counts["left_out"]:
            line += f" {counts['left_out']} more exceed a cap and are left out."
        return line


def build_dataset(champion: Classifier, recipe: SiteRecipe) -> TrainingDataset:
    """Select the training data of the next run.

    Args:
        champion: classifier of the live version; it chooses a reading of each image, and determines which labels are
            contested.
        recipe: hyper-parameters; they are part of the fingerprint.
    """
    rows = _newest_per_image(Submission.objects.trainable())
    digits = _capped([row for row in rows if row.truth != TruthValue.NOT_A_DIGIT], MAX_DIGITS)
    non_digits = _capped([row for row in rows if row.truth == TruthValue.NOT_A_DIGIT], MAX_NON_DIGITS)
    images, labels = choose_pixels(champion, _readings(digits)), _digits(digits)
    non_digit_images = choose_pixels(champion, _readings(non_digits))
    confirmed = _confirmed_digests()
    is_confirmed = np.array([row.digest in confirmed for row in digits], bool)
    noise = find_label_noise(champion, images, labels, recipe.noise_thresholds, is_confirmed)
    counts = {
        "settled": len(rows),
        "digits": len(digits),
        "per_digit": np.bincount(labels, minlength=10).tolist(),
        "contested": int(noise.contested.sum()),
        "non_digits": len(non_digits),
        "left_out": len(rows) - len(digits) - len(non_digits),
        "drawers": len({_drawer(row) for row in digits}),
    }
    lines = [
        f"{row.digest} {hashlib.sha256(pixels).hexdigest()} {row.truth} {row.digest in confirmed}"
        for row, pixels in zip((*digits, *non_digits), (*images, *non_digit_images), strict=True)
    ]
    data = SiteData(images, labels, noise.contested, non_digit_images)
    return TrainingDataset(data, counts, _fingerprint(lines, recipe.stored_form), noise.suspicions)


def holdout_datasets() -> list[EvalDataset]:
    """Return the settled digits of the holdout fold, each image once, and one set for each source if there are several.

    The list is empty if there is no such digit.
    """
    rows = _newest_per_image(Submission.objects.settled().digits().holdout())[:MAX_HOLDOUT]
    if not rows:
        return []
    sets = [_eval_dataset(HOLDOUT, "Site holdout", rows, Role.HOLDOUT)]
    sources = sorted({row.source for row in rows})
    for source in sources if len(sources) > 1 else ():
        part = [row for row in rows if row.source == source]
        name, title = f"{HOLDOUT}.{source}", f"Site holdout, {Source(source).label.lower()}"
        sets.append(_eval_dataset(name, title, part, Role.HOLDOUT_SOURCE))
    return sets


def _eval_dataset(name: str, title: str, rows: Sequence[Submission], role: Role) -> EvalDataset:
    readings = _readings(rows)
    images = np.stack([plain.pixels for plain, *_ in readings])
    return EvalDataset(name, title, images, _digits(rows), role, readings=readings)


def _newest_per_image(rows: QuerySet[Submission]) -> list[Submission]:
    """Return the newest row of each image, newest images first."""
    by_digest: dict[str, Submission] = {}
    for row in rows.only(*COLUMNS).order_by("-id").iterator():
        by_digest.setdefault(row.digest, row)
    return list(by_digest.values())


def _capped(rows: list[Submission], max_rows: int) -> list[Submission]:
    max_per_drawer = max(MIN_PER_DRAWER, round(len(rows) * MAX_DRAWER_SHARE))
    counts: Counter[object] = Counter()
    selected = []
    for row in rows:
        counts[_drawer(row)] += 1
        if counts[_drawer(row)] <= max_per_drawer:
            selected.append(row)
    return selected[:max_rows]


def _drawer(row: Submission) -> object:
    """Return the drawer as far as known. Submissions by programs without a visitor count as one drawer."""
    return row.owner_id or row.visitor or row.source


def _confirmed_digests() -> set[str]:
    """Return digests of images whose label was confirmed by another reviewer or in a blind second review."""
    labels = Label.objects.active().reviews().filter(submission__truth_state=TruthState.SETTLED)
    second_reviews: Counter[tuple[str, str]] = Counter()
    reviewers: dict[tuple[str, str], set[int | None]] = {}
    for digest, value, user, reason in labels.values_list(
        "submission__digest", "value", "user_id", "reason"
    ).iterator():
        second_reviews[digest, value] += reason in SECOND_REVIEW_REASONS
        reviewers.setdefault((digest, value), set()).add(user)
    return {digest for (digest, value), users in reviewers.items() if len(users) > 1 or second_reviews[digest, value]}


def _readings(rows: Sequence[Submission]) -> list[list[Reading]]:
    """Return the readings of each image, preprocessed again if the preprocessing has changed."""
    for row in rows:
        if row.preprocessing_version != PREPROCESSING_VERSION:
            predict.prepare_again(row)
    return [row.readings for row in rows]


def _digits(rows: Sequence[Submission]) -> np.ndarray:
    return np.array([int(row.truth) for row in rows], np.uint8)


def _fingerprint(lines: list[str], recipe: dict[str, object]) -> str:
    """Hash the lines in sorted order, so that the fingerprint does not depend on the order of the labels."""
    digest = hashlib.sha256(json.dumps([PREPROCESSING_VERSION, recipe], sort_keys=True).encode())
    for line in sorted(lines):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
