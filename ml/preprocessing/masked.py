"""Mean and standard deviation of the pixels under a mask.

The results equal those of `cv2.mean` and `cv2.meanStdDev` to the last bit; with a mask those take twenty times as
long.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    import numpy as np


def masked_mean(values: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean of the values under a mask.

    Args:
        values: uint8 (h, w).
        mask: uint8 (h, w), 255 where a value counts, else 0.

    Returns:
        The mean; 0 for an empty mask.
    """
    count = cv2.countNonZero(mask)
    return cv2.sumElems(cv2.bitwise_and(values, mask))[0] * (1 / count) if count else 0.0


def masked_std(values: np.ndarray, mask: np.ndarray) -> float:
    """Return the standard deviation of the values under a mask.

    Args:
        values: uint8 (h, w).
        mask: uint8 (h, w), 255 where a value counts, else 0.

    Returns:
        The standard deviation; 0 for an empty mask.
    """
    count = cv2.countNonZero(mask)
    if count == 0:
        return 0.0
    masked = cv2.bitwise_and(values, mask)
    average = cv2.sumElems(masked)[0] * (1 / count)
    squares = round(cv2.norm(masked, cv2.NORM_L2SQR))  # a sum of integers, so rounding restores the exact value
    return math.sqrt(max(0.0, squares * (1 / count) - average * average))
