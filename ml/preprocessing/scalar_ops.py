"""Typed wrappers for OpenCV operations with a scalar operand, which OpenCV's type stubs do not declare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    import numpy as np


def mask_above(values: np.ndarray, threshold: float) -> np.ndarray:
    """Return a uint8 mask that is 255 where the values exceed the threshold, else 0."""
    return cv2.compare(values, threshold, cv2.CMP_GT)  # type: ignore[call-overload, no-any-return]  # scalar operand


def multiply(values: np.ndarray, factor: float) -> np.ndarray:
    """Multiply by a factor, rounding and saturating at the limits of the dtype."""
    return cv2.multiply(values, factor)  # type: ignore[call-overload, no-any-return]  # scalar operand


def absolute_difference(values: np.ndarray, scalar: float | tuple[float, ...]) -> np.ndarray:
    """Return the absolute difference from one value, or from one value for each channel."""
    return cv2.absdiff(values, scalar)  # type: ignore[call-overload, no-any-return]  # scalar operand
