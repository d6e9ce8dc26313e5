"""Label noise: training labels that contradict the live model, and groups of them that suggest label poisoning.

`recognizer.services.training.dataset` applies it to all labels of a run. The numbers for honest and poisoned labels
were measured with `bench.learning aim` (docs/appendix/learning-history.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ml.evaluation.gate_checks import GateCheck
from ml.evaluation.metrics import CLASSES

if TYPE_CHECKING:
    from ml.serving.classifier import Classifier

# From this number of certain contradictions on, or this share of all labels if that is more, the labels of a group must
# be reviewed again before a model that was trained with them goes live.
MIN_SUSPICIOUS, SUSPICIOUS_SHARE = 5, 0.008


@dataclass(frozen=True)
class NoiseThresholds:
    """Thresholds that decide which labels are contested. They are part of a site's recipe.

    Attributes:
        certainty: a label is contested if the champion predicts another digit with at least this certainty. This
            covers a quarter of the correct labels by writers whom the champion misreads, and three quarters of the
            labels that swap 1 and 7. Sure answers alone would cover half of the latter.
        min_group_size: smallest number of labels in a group for which the group is considered as a whole.
        certain_share: a whole group is contested if at least this share of its labels is contradicted with certainty.
        neighbours: number of nearest neighbours that are considered for each image.
        min_neighbour_share: a group is separate if at least this share of the nearest neighbours of its images, on
            average, has the same label. Measured with 1,000 labels (groups 100 to 114 of `digitsite.testing.writers`):
            0.94 (median) for correct labels of leaning writers, 0.97 for turning ones, below 0.75 for one in ten of
            these; 0.4 if 30 % of the 1s and 7s are swapped, 0.57 if 60 % are swapped, never more than 0.75.
        min_agreement: a group is separate only if at least this share of the images that the champion predicts as the
            group's predicted digit has that label.
    """

    certainty: float = 0.6
    min_group_size: int = 3
    certain_share: float = 0.5
    neighbours: int = 3
    min_neighbour_share: float = 0.75
    min_agreement: float = 0.55


@dataclass(frozen=True)
class LabelGroup:
    """Labels that contradict the champion in the same way, for example "predicted 1, labelled 7".

    Attributes:
        predicted: digit that the champion predicts.
        label: digit of the label.
        rows: row numbers of the labels.
        certain: (len(rows),) bool, whether the champion is certain.
    """

    predicted: int
    label: int
    rows: np.ndarray
    certain: np.ndarray


@dataclass(frozen=True)
class LabelNoise:
    """Labels that a training must treat with care.

    Attributes:
        contested: (N,) bool, labels that the champion contradicts.
        suspicions: one failed gate check for each group of labels that suggests label poisoning.
    """

    contested: np.ndarray
    suspicions: list[GateCheck]


def find_label_noise(
    champion: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    thresholds: NoiseThresholds,
    confirmed: np.ndarray | None = None,
) -> LabelNoise:
    """Find the labels that the champion contradicts with certainty, and whole groups in which most labels are so.

    The champion contradicts most labels of a malicious reviewer with certainty, but only a quarter of the correct
    labels that it misreads. A group that is contradicted mostly with certainty is therefore contested as a whole. A
    separate group is neither contested nor suspicious: there the champion confuses a handwriting.

    Args:
        champion: classifier of the live version.
        images: (N, 28, 28) uint8, all training images of the site.
        labels: (N,) digits.
        thresholds: thresholds of the recipe.
        confirmed: (N,) bool, labels that were confirmed by a second review; they are not contested and do not count as
            suspicious.
    """
    contested, suspicions = np.zeros(len(labels), bool), []
    unconfirmed = np.ones(len(labels), bool) if confirmed is None else ~confirmed
    min_count = max(MIN_SUSPICIOUS, unconfirmed.sum() * SUSPICIOUS_SHARE)
    for group in _label_groups(champion, images, labels, thresholds):
        is_large = len(group.rows) >= thresholds.min_group_size
        is_whole = is_large and group.certain.mean() >= thresholds.certain_share
        contested[group.rows] = True if is_whole else group.certain
        certain = group.certain[unconfirmed[group.rows]]
        if certain.sum() >= min_count and certain.mean() >= thresholds.certain_share:
            title = f"Labels that call {group.label} what the live model is rather certain is {group.predicted}"
            name, n, count = f"labels.{group.predicted}.{group.label}", len(certain), int(certain.sum())
            suspicions.append(GateCheck(name, title, "labels", passed=False, n=n, regressions=count))
    return LabelNoise(contested & unconfirmed, suspicions)


def _label_groups(
    champion: Classifier, images: np.ndarray, labels: np.ndarray, thresholds: NoiseThresholds
) -> list[LabelGroup]:
    """Return the groups of labels that contradict the champion, without separate ones.

    The images of a separate group resemble each other and differ from the images whose label is the predicted digit.
    """
    answers = champion.answer(images)
    predicted = np.array([answer.digit for answer in answers], np.int64)
    certain = np.array([answer.certainty for answer in answers]) >= thresholds.certainty
    digits = labels.astype(np.int64)
    pair = predicted * CLASSES + digits
    features = _features(images)
    groups = []
    for number in np.unique(pair[predicted != digits]).tolist():
        rows, (predicted_digit, label) = np.flatnonzero(pair == number), divmod(number, CLASSES)
        if not _is_separate(features, predicted, digits, rows, thresholds):
            groups.append(LabelGroup(predicted_digit, label, rows, certain[rows]))
    return groups


def _is_separate(
    features: np.ndarray, predicted: np.ndarray, labels: np.ndarray, rows: np.ndarray, thresholds: NoiseThresholds
) -> bool:
    """Return whether the nearest neighbours of the images of a group confirm their labels.

    If the champion takes the 7s of some writers for 1s, these writers write all of their 7s like that, but not their
    1s: among all images labelled 1 or 7, the nearest neighbours of such a 7 are 7s. If a reviewer labels some 1s as 7,
    the nearest neighbours are other 1s. If a reviewer labels most 1s as 7, most images that are predicted as 1 have
    another label, which `min_agreement` detects.
    """
    predicted_digit, label = predicted[rows[0]], labels[rows[0]]
    agreement = (labels[predicted == predicted_digit] == predicted_digit).mean()
    if len(rows) < thresholds.min_group_size or agreement < thresholds.min_agreement:
        return False
    either = np.flatnonzero((labels == predicted_digit) | (labels == label))
    likeness = features[rows] @ features[either].T
    likeness[rows[:, None] == either] = -np.inf  # An image is not its own neighbour.
    nearest = either[np.argsort(-likeness, axis=1)[:, : thresholds.neighbours]]
    return bool((labels[nearest] == label).mean() >= thresholds.min_neighbour_share)


def _features(images: np.ndarray) -> np.ndarray:
    """Return (N, 196) float32 unit vectors: blurred and halved images, insensitive to shifts by one pixel."""
    if not len(images):
        return np.zeros((0, 196), np.float32)
    small = [
        cv2.resize(cv2.GaussianBlur(image, (0, 0), 1.5), (14, 14), interpolation=cv2.INTER_AREA) for image in images
    ]
    vectors = np.stack(small).reshape(len(images), -1).astype(np.float32)
    normalized: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)
    return normalized
