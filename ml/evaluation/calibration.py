"""Temperature scaling, and the thresholds for the verdicts "sure" and "not a digit".

`ml.training.export_pipeline` fits both after every training, on validation images only, and stores them in the serving
bundle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.evaluation.metrics import negative_log_likelihood
from ml.serving.classifier import energy, softmax

# Largest share of the validation digits that may be called "not a digit". Uploaded images differ more from the
# validation digits than these differ from each other, so the share is smaller than the 2 % that the gate allows.
REFUSED_DIGIT_SHARE = 0.005
# A sure answer needs a lower energy than this share of the validation digits, those with the highest energy.
UNSURE_DIGIT_SHARE = 0.05
# Minimum accuracy of the sure answers on validation digits. It is higher than the promised 99.5 %, because uploaded
# digits differ from the validation digits. Compared with 0.997 it removes 2 % of the sure answers on real digits, and
# one in seven of the false sure answers on letters and doodles (docs/appendix/accuracy-history.md).
SURE_ACCURACY = 0.998
# Bounds of the required margin between the first and the second probability.
MIN_MARGIN, MAX_MARGIN = 0.5, 0.98


@dataclass(frozen=True)
class Thresholds:
    """Decision thresholds, as described in `ml.serving.bundle.Manifest`."""

    sure_margin: float
    sure_energy: float
    refuse_energy: float


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that maximizes the likelihood of the labels (Guo et al., 2017), by golden-section search.

    Args:
        logits: (N, 10), of images that were not used for training.
        labels: (N,) digits.

    Returns:
        A temperature in 0.05..20; below 1 if label smoothing made the model underconfident.
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
    """Choose the thresholds from digits alone, so that no kind of non-digit influences them.

    Args:
        logits: (N, 10) of validation digits, clean and distorted.
        labels: (N,) digits.
        temperature: temperature of the softmax.
    """
    energies = energy(logits)
    sure_energy, refuse_energy = np.quantile(energies, [1 - UNSURE_DIGIT_SHARE, 1 - REFUSED_DIGIT_SHARE])
    top = np.sort(softmax(logits, temperature), axis=1)
    margins = top[:, -1] - top[:, -2]
    eligible = energies <= sure_energy
    is_correct = (logits.argmax(axis=1) == labels)[eligible]
    order = np.argsort(-margins[eligible], kind="stable")
    accuracy = np.cumsum(is_correct[order]) / np.arange(1, len(order) + 1)
    # The smallest margin above which the accuracy is high enough.
    sufficient = np.flatnonzero(accuracy >= SURE_ACCURACY)
    margin = margins[eligible][order][sufficient[-1]] if len(sufficient) else MAX_MARGIN
    return Thresholds(
        sure_margin=float(np.clip(margin, MIN_MARGIN, MAX_MARGIN)),
        sure_energy=float(sure_energy),
        refuse_energy=float(refuse_energy),
    )
