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
# MNIST's centres of mass lie at pixel 14 of 0..27, counted from the middle of the first pixel (measured: 14.00 +- 0.29, both ways),
# half a pixel beside the middle of the field.
CENTRE = 14.0


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
    """Place a glyph of at most 28x28 so that its centre of mass lies at CENTRE, as far as it fits.

    Returns:
        uint8 (28, 28).
    """
    height, width = glyph.shape
    moments = cv2.moments(glyph)
    total = moments["m00"] or 1.0
    top = min(max(round(CENTRE - moments["m01"] / total), 0), SIDE - height)
    left = min(max(round(CENTRE - moments["m10"] / total), 0), SIDE - width)
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[top : top + height, left : left + width] = glyph
    return pixels
