"""Metrics of a classifier: accuracy, recall per digit, confusion matrix, calibration. Pure functions on arrays.

`ml.training.export_pipeline`, the promotion gate and the management commands use them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ml.serving.classifier import softmax

if TYPE_CHECKING:
    from ml.evaluation.model_metrics import ReliabilityBin, SetMetrics

CLASSES = 10
BINS = 15


def wilson(correct: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    Args:
        correct: number of successes.
        n: number of trials.
        z: quantile of the normal distribution; the default gives 95 %.

    Returns:
        Lower and upper bound; (0, 1) if `n` is 0.
    """
    if n == 0:
        return 0.0, 1.0
    share, z2 = correct / n, z * z / n
    middle = share + z2 / 2
    half = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n))
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the confusion matrix, (10, 10) int64: rows are true digits, columns predicted digits."""
    return np.bincount(labels.astype(np.int64) * CLASSES + predicted, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Return the mean of -log p(label), in nats."""
    scaled = logits.astype(np.float64) / temperature
    top = scaled.max(axis=1)
    logsum = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    return float((logsum - scaled[np.arange(len(labels)), labels]).mean())


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[ReliabilityBin]:
    """Return the reliability table: certainty and accuracy in bins of equal width, without empty bins.

    Args:
        probabilities: (N, 10).
        labels: (N,) digits.
        bins: number of bins in 0..1.

    Returns:
        For each bin `low`, `high`, `n`, `certainty` (mean probability of the predicted digit) and `accuracy`.
    """
    certainty = probabilities.max(axis=1)
    is_correct = probabilities.argmax(axis=1) == labels
    index = np.minimum((certainty * bins).astype(int), bins - 1)
    return [
        {
            "low": b / bins,
            "high": (b + 1) / bins,
            "n": int((index == b).sum()),
            "certainty": float(certainty[index == b].mean()),
            "accuracy": float(is_correct[index == b].mean()),
        }
        for b in range(bins)
        if (index == b).any()
    ]


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error (Guo et al., 2017).

    It is the mean distance between certainty and accuracy over the bins of `reliability`, weighted by their size.
    """
    table = reliability(probabilities, labels, bins)
    return sum(row["n"] * abs(row["certainty"] - row["accuracy"]) for row in table) / max(len(labels), 1)


def evaluate(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> SetMetrics:
    """Return all metrics of one labelled set.

    Args:
        logits: (N, 10).
        labels: (N,) digits.
        temperature: temperature of the softmax; accuracy does not depend on it.

    Returns:
        `n`, `correct`, `accuracy`, `interval` (Wilson, 95 %), `nll`, `ece`, `per_digit` (recall of 0..9, None if
        the set has none), `confusion` and `reliability`, all JSON-serializable.
    """
    predicted = logits.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted)
    correct, n = int(matrix.trace()), len(labels)
    totals = matrix.sum(axis=1)
    probabilities = softmax(logits, temperature)
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n if n else 0.0,
        "interval": wilson(correct, n),
        "nll": negative_log_likelihood(logits, labels, temperature),
        "ece": expected_calibration_error(probabilities, labels),
        "per_digit": [float(matrix[d, d] / totals[d]) if totals[d] else None for d in range(CLASSES)],
        "confusion": matrix.tolist(),
        "reliability": reliability(probabilities, labels),
    }
