"""The last step of preprocessing: ink of any size to the 28x28 that the model was trained on.

MNIST's own recipe (LeCun, Cortes, Burges, "The MNIST database"): the digit fits a 20x20 box, its centre of mass lies in the middle of
the 28x28 field.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

SIDE = 28
BOX = 20


@dataclass(frozen=True)
class Prepared:
    """What the model sees.

    Attributes:
        pixels: uint8 (28, 28), white ink on black, as in MNIST.
        ink: JSON-able evidence about the ink, from which a verdict may be drawn.
        blank: nothing was found; then all pixels are zero.
    """

    pixels: np.ndarray
    ink: dict[str, float | int | bool] = field(default_factory=dict)
    blank: bool = False


def fit_box(glyph: np.ndarray) -> np.ndarray:
    """Resize cropped ink so that its long side is BOX pixels, by averaging areas as MNIST's anti-aliasing did.

    Args:
        glyph: uint8 (h, w), ink bright.

    Returns:
        uint8, at most BOX x BOX.
    """
    height, width = glyph.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(glyph, size, interpolation=method)


def centre(glyph: np.ndarray) -> np.ndarray:
    """Place a glyph of at most 28x28 so that its centre of mass lies in the middle, as far as it fits.

    Returns:
        uint8 (28, 28).
    """
    height, width = glyph.shape
    weights = glyph.astype(np.float64)
    total = weights.sum() or 1.0
    centre_y = (weights.sum(1) @ (np.arange(height) + 0.5)) / total
    centre_x = (weights.sum(0) @ (np.arange(width) + 0.5)) / total
    top = min(max(round(SIDE / 2 - centre_y), 0), SIDE - height)
    left = min(max(round(SIDE / 2 - centre_x), 0), SIDE - width)
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[top : top + height, left : left + width] = glyph
    return pixels
