"""From logits to honest words: one temperature, and the thresholds behind "sure" and "not a digit".

`ml.training.export_pipeline` fits them after every training, on validation images only, and they travel in the
serving bundle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.evaluation.metrics import negative_log_likelihood
from ml.serving.classifier import energy, softmax

# Of the validation digits at most this share may be called "not a digit". A picture from a stranger is less
# like the validation digits than they are like each other, so it is stricter than the 2 % allowed there.
REFUSED_DIGIT_SHARE = 0.005
# A sure answer needs a lower energy than the least digit-like of the validation digits, this share of them.
UNSURE_DIGIT_SHARE = 0.05
# The answers called sure on validation digits must be right this often: stricter than the 99.5 % that is promised, for
# a stranger's digits are unlike all of these. Against 0.997 it costs 2 of 100 sure answers on real digits, and one in
# seven of those on strangers' letters and doodles that should not have been (docs/accuracy.md), ...
SURE_ACCURACY = 0.998
# ... and the lead over the second digit is never asked to be less or more than this.
MIN_MARGIN, MAX_MARGIN = 0.5, 0.98


@dataclass(frozen=True)
class Thresholds:
    """See `ml.serving.bundle.Manifest`, which keeps the same three numbers."""

    sure_margin: float
    sure_energy: float
    refuse_energy: float


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes the labels most likely (Guo et al., 2017), by golden-section search.

    Args:
        logits: (N, 10), of images that did not train.
        labels: (N,).

    Returns:
        A temperature in 0.05..20; below 1 where label smoothing left the model too modest.
    """
    golden = (np.sqrt(5) - 1) / 2
    low, high = np.log(0.05), np.log(20.0)
    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        at_left = negative_log_likelihood(logits, labels, float(np.exp(left)))
        if at_left < negative_log_likelihood(logits, labels, float(np.exp(right))):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def choose_thresholds(logits: np.ndarray, labels: np.ndarray, temperature: float) -> Thresholds:
    """Choose the thresholds from digits alone, so that no kind of non-digit decides what a digit may look like.

    Args:
        logits: (N, 10) of validation digits, clean and distorted.
        labels: (N,).
        temperature: of the probabilities.
    """
    energies = energy(logits)
    sure_energy, refuse_energy = np.quantile(energies, [1 - UNSURE_DIGIT_SHARE, 1 - REFUSED_DIGIT_SHARE])
    top = np.sort(softmax(logits, temperature), axis=1)
    margins = top[:, -1] - top[:, -2]
    eligible = energies <= sure_energy
    right = (logits.argmax(axis=1) == labels)[eligible]
    order = np.argsort(-margins[eligible], kind="stable")
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # the smallest margin down to which the answers above it are right often enough
    good = np.flatnonzero(accuracy >= SURE_ACCURACY)
    margin = margins[eligible][order][good[-1]] if len(good) else MAX_MARGIN
    return Thresholds(
        sure_margin=float(np.clip(margin, MIN_MARGIN, MAX_MARGIN)),
        sure_energy=float(sure_energy),
        refuse_energy=float(refuse_energy),
    )
