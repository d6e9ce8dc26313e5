"""P(valid): the probability that a candidate is exactly one whole digit, from its geometry and the model's energy.

A logistic regression, fitted on strings of digits with known boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ml.numbers.candidates import Candidate

# Energy above which a candidate hardly looks like a digit.
_HIGH_ENERGY = -3.4
# A wide gap inside speaks against one digit more strongly than the examples of the fit show.
_GAP_PENALTY, _FREE_GAP = 8.0, 0.05


@dataclass(frozen=True)
class ValidityModel:
    """Parameters of the logistic regression.

    Attributes:
        means, scales: standardization of each feature.
        weights: weight of each standardized feature.
        bias: intercept.
    """

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def probability(self, features: np.ndarray, gaps: np.ndarray) -> np.ndarray:
        """Return P(valid), (N,), of candidates.

        Args:
            features: (N, F), as `measure` returns them.
            gaps: (N,), the widest gap inside each candidate, in digit heights.
        """
        standardized = (features - np.array(self.means)) / np.array(self.scales)
        logits = standardized @ np.array(self.weights) + self.bias
        logits -= _GAP_PENALTY * np.maximum(0.0, gaps - _FREE_GAP)
        probabilities: np.ndarray = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
        return probabilities


def measure(candidate: Candidate, energy: float, margin: float, digit_height: float, middle: float) -> list[float]:
    """Measure the features of a candidate.

    Args:
        candidate: the candidate.
        energy: the model's energy of its pixels.
        margin: difference between its two highest probabilities.
        digit_height: height of a digit of its line, in pixels.
        middle: vertical centre of its line, in pixels.
    """
    _, top, width, height = candidate.box
    aspect, size = float(np.log(width / height)), float(np.log(height / digit_height))
    return [
        energy,
        margin,
        aspect,
        aspect * aspect,
        size,
        size * size,
        max(0.0, aspect),
        min(candidate.crossed, 1.2),
        max(0.0, candidate.crossed - 1.2),
        candidate.gap,
        max(0.0, candidate.gap - 0.08),
        candidate.components - 1.0,
        candidate.overlap,
        candidate.stroke / digit_height,
        abs(top + height / 2 - middle) / digit_height,
        max(0.0, energy - _HIGH_ENERGY),
    ]


# Fitted on strings of MNIST digits for the base model.
BASE_VALIDITY = ValidityModel(
    means=(
        -3.195,
        0.492,
        -0.08382,
        0.2083,
        -0.1524,
        0.09925,
        0.1412,
        0.954,
        1.049,
        0.02054,
        0.01169,
        0.2267,
        0.2336,
        0.1111,
        0.06783,
        0.5901,
    ),
    scales=(
        1.13,
        0.401,
        0.4486,
        0.3549,
        0.2757,
        0.3452,
        0.2008,
        0.4455,
        1.112,
        0.06647,
        0.04691,
        0.4652,
        0.1568,
        0.03617,
        0.075,
        0.4452,
    ),
    weights=(
        -1.102,
        0.6327,
        0.0684,
        -0.2145,
        0.848,
        -1.184,
        -0.4369,
        -0.8003,
        -0.6717,
        -0.2219,
        0,
        -0.4827,
        -0.8725,
        0.3392,
        0,
        -0.8756,
    ),
    bias=-5.041,
)
