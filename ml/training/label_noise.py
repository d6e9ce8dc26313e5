"""Labels that contradict the live model: which of them weigh little, and which look like somebody's aim.

`recognizer.services.training.dataset` asks about all labels that a run learns from. What is said here about honest
and aimed labels was measured with `bench.learning aim` (docs/learning.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ml.evaluation.gate import GateCheck
from ml.serving.classifier import Classifier
from ml.training.model import CLASSES

# From so many certain ones on, or such a share of all labels where that is more, somebody must look at them again
# before anything that was trained beside them goes live.
MIN_SUSPICIOUS, SUSPICIOUS_SHARE = 5, 0.008


@dataclass(frozen=True)
class NoiseThresholds:
    """When a label is contested; part of a site's recipe.

    Attributes:
        certainty: a label is contested when the champion is at least so certain of another digit. Of right corrections
            by writers whom it misreads a quarter is; of labels that call 1s 7 and 7s 1 three quarters. Sure answers
            alone would find half.
        fewest_of_a_kind, mostly: from so many contradictions of one kind on, and such a share of them certain, all of
            that kind are contested.
        neighbours, lies_apart, read_right: a kind lies apart where so many of the nearest neighbours of its pictures,
            on average, bear the same label, and so much of what the champion reads as that digit is labelled so.
            Measured with 1,000 labels (groups 100 to 114 of `digitsite.testing.writers`): honest kinds of leaning
            writers 0.94 (median), of turning ones 0.97, one in ten of these below 0.75; 30 % of 1s and 7s swapped
            0.4, 60 % swapped 0.57, of all at most 0.75.
    """

    certainty: float = 0.6
    fewest_of_a_kind: int = 3
    mostly: float = 0.5
    neighbours: int = 3
    lies_apart: float = 0.75
    read_right: float = 0.55


@dataclass(frozen=True)
class LabelGroup:
    """Labels of one kind that contradict the champion: "it reads 1, the label says 7".

    Attributes:
        guess, label: the digits.
        rows: their numbers.
        certain: (len(rows),) bool, where the champion is rather certain.
        lies_apart: whether they look like each other and unlike what is labelled as the champion reads it.
    """

    guess: int
    label: int
    rows: np.ndarray
    certain: np.ndarray
    lies_apart: bool


def contested_rows(champion: Classifier, images: np.ndarray, labels: np.ndarray, doubts: NoiseThresholds) -> np.ndarray:
    """(N,) bool: labels that the champion contradicts with some certainty, or that are of a kind which it mostly does.

    Of a rogue reviewer's labels the champion contradicts most with certainty, of honest corrections a quarter; so a
    kind that it mostly does contradict is contested whole. A kind that lies apart is not contested at all: then it is
    the champion that takes one handwriting for another.
    """
    found = np.zeros(len(labels), bool)
    for kind in _kinds(champion, images, labels, doubts):
        if not kind.lies_apart:
            all_of_it = len(kind.rows) >= doubts.fewest_of_a_kind and kind.certain.mean() >= doubts.mostly
            found[kind.rows] = True if all_of_it else kind.certain
    return found


def find_suspected_noise(
    champion: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    doubts: NoiseThresholds,
    confirmed: np.ndarray | None = None,
) -> list[GateCheck]:
    """One failed check for each kind of label that looks like somebody's aim.

    Args:
        champion: of the live version.
        images, labels: all that train.
        doubts: of the recipe.
        confirmed: (N,) bool, those that a second look confirmed; they are no sign of an aim.
    """
    checks = []
    unconfirmed = np.ones(len(labels), bool) if confirmed is None else ~confirmed
    fewest = max(MIN_SUSPICIOUS, unconfirmed.sum() * SUSPICIOUS_SHARE)
    for kind in _kinds(champion, images, labels, doubts):
        certain = kind.certain[unconfirmed[kind.rows]]
        if not kind.lies_apart and certain.sum() >= fewest and certain.mean() >= doubts.mostly:
            title = f"Labels that call {kind.label} what the live model is rather certain is {kind.guess}"
            name, n, lost = f"labels.{kind.guess}.{kind.label}", len(certain), int(certain.sum())
            checks.append(GateCheck(name, title, "labels", passed=False, n=n, lost=lost))
    return checks


def _kinds(champion: Classifier, images: np.ndarray, labels: np.ndarray, doubts: NoiseThresholds) -> list[LabelGroup]:
    said = champion.answer(images)
    guess = np.array([one.digit for one in said], np.int64)
    certain = np.array([one.certainty for one in said]) >= doubts.certainty
    wanted = labels.astype(np.int64)
    number = guess * CLASSES + wanted
    looks = _looks(images)
    kinds = []
    for one in np.unique(number[guess != wanted]).tolist():
        rows, (read, label) = np.flatnonzero(number == one), divmod(one, CLASSES)
        kinds.append(LabelGroup(read, label, rows, certain[rows], _lies_apart(looks, guess, wanted, rows, doubts)))
    return kinds


def _lies_apart(
    looks: np.ndarray, guess: np.ndarray, labels: np.ndarray, rows: np.ndarray, doubts: NoiseThresholds
) -> bool:
    """Whether the neighbours of these labels bear them out.

    Writers whose 7 the champion takes for a 1 write all of their 7s so, and their 1s otherwise: of all that is
    labelled 1 or 7 the pictures most like such a 7 are 7s. Where somebody calls some of the 1s 7, the pictures most
    like them are other 1s. And should somebody call most of them 7, most of what reads 1 is labelled otherwise.
    """
    read, label = guess[rows[0]], labels[rows[0]]
    if len(rows) < doubts.fewest_of_a_kind or (labels[guess == read] == read).mean() < doubts.read_right:
        return False
    either = np.flatnonzero((labels == read) | (labels == label))
    likeness = looks[rows] @ looks[either].T
    likeness[rows[:, None] == either] = -np.inf  # nobody is their own witness
    nearest = either[np.argsort(-likeness, axis=1)[:, : doubts.neighbours]]
    return bool((labels[nearest] == label).mean() >= doubts.lies_apart)


def _looks(images: np.ndarray) -> np.ndarray:
    """(N, 196) float32 of length 1, blurred and halved: a pixel's shift is no difference."""
    if not len(images):
        return np.zeros((0, 196), np.float32)
    small = [cv2.resize(cv2.GaussianBlur(one, (0, 0), 1.5), (14, 14), interpolation=cv2.INTER_AREA) for one in images]
    looks = np.stack(small).reshape(len(images), -1).astype(np.float32)
    return looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1)
