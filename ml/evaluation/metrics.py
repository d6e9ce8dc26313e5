"""How good a model is: accuracy, per digit, confusion, calibration, with honest intervals. Pure functions on arrays.

`ml.training.export_pipeline` uses them for what a training writes down, the gate and the commands for what they
compare.
"""

from __future__ import annotations

import math

import numpy as np

from ml.serving.classifier import softmax

CLASSES = 10
BINS = 15


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a share, 95 % by default; (0, 1) when nothing was seen."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = right / n, z * z / n
    middle = share + z2 / 2
    half = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n))
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(10, 10) int64: the row is the true digit, the column the predicted one."""
    return np.bincount(labels.astype(np.int64) * CLASSES + predicted, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean of -log p(label), in nats."""
    scaled = logits.astype(np.float64) / temperature
    top = scaled.max(axis=1)
    logsum = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    return float((logsum - scaled[np.arange(len(labels)), labels]).mean())


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """Certainty against accuracy in bins of equal width; empty bins are left out.

    Args:
        probabilities: (N, 10).
        labels: (N,).
        bins: how many bins cover 0..1.

    Returns:
        Per bin `low`, `high`, `n`, `certainty` (mean probability of the best guess) and `accuracy`.
    """
    certainty = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    number = np.minimum((certainty * bins).astype(int), bins - 1)
    return [
        {
            "low": b / bins,
            "high": (b + 1) / bins,
            "n": int((number == b).sum()),
            "certainty": float(certainty[number == b].mean()),
            "accuracy": float(right[number == b].mean()),
        }
        for b in range(bins)
        if (number == b).any()
    ]


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Mean distance between certainty and accuracy over the bins of `reliability` (Guo et al., 2017)."""
    table = reliability(probabilities, labels, bins)
    return sum(row["n"] * abs(row["certainty"] - row["accuracy"]) for row in table) / max(len(labels), 1)


def evaluate(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> dict[str, object]:
    """All the figures of one labelled set.

    Args:
        logits: (N, 10).
        labels: (N,) digits.
        temperature: of the probabilities; accuracy does not depend on it.

    Returns:
        `n`, `correct`, `accuracy`, `interval` (Wilson, 95 %), `nll`, `ece`, `per_digit` (recall of 0..9, None where
        the set has none), `confusion` and `reliability`, all JSON-able.
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
