"""The last step of preprocessing: ink of any size to the 28x28 that the model was trained on.

MNIST's own recipe (LeCun, Cortes, Burges, "The MNIST database"): the digit fits a 20x20 box, its centre of
mass lies in the middle of the 28x28 field.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

SIDE = 28
BOX = 20
# MNIST's centres of mass lie at pixel 14 of 0..27, counted from the middle of the first pixel (measured:
# 14.00 +- 0.29, both ways), half a pixel beside the middle of the field.
CENTRE = 14.0
# Widths of strokes in the 28x28, in pixels, that the model has seen often: MNIST's 5th and 95th percentiles
# are 1.6 and 3.8.
MIN_STROKE_WIDTH = 1.9
MAX_STROKE_WIDTH = 4.2
# Wider than this it is no stroke but a filled shape, which is left as it is.
_FILLED = 7.0
# The canvas on which strokes are made thicker or thinner is this many times finer than the 28x28.
_FINE = 8


@dataclass(frozen=True)
class Prepared:
    """What the model sees.

    Attributes:
        pixels: uint8 (28, 28), white ink on black, as in MNIST.
        ink: JSON-able evidence about the ink, from which a verdict may be drawn; empty when blank:
            `contrast` of ink against paper, 0 to 255, and `noise`, the unrest of the paper, in the same
            steps; `parts` that the digit was put together from;
            `large`, how many pieces of a digit's height stand side by side, 1 for a lone digit, and
            `several`, whether that or a great width tells of more than one;
            `speckle`, the share of all ink that lies scattered elsewhere, high for noise and texture;
            `neighbours`, the share of all ink that was left aside because it runs out of the picture;
            `edge`, the share of the picture's outermost pixels that the digit covers;
            `coverage`, the share of the picture, and `fill`, the share of its own box, that the digit covers;
            `aspect`, width of its box over height; `stroke`, width of its strokes over the long side of its
            box; `dot`, whether that makes it a dot or a filled shape; `doubtful`, whether it may be no writing
            at all but noise or a pattern, so that no answer to it is sure; `halo`, the share of its area that is
            faint; `lines` of ruled paper that were taken out; `quick`, whether the picture was clean enough
            for the quick path.
        blank: nothing was found; then all pixels are zero.
    """

    pixels: np.ndarray
    ink: dict[str, float | int | bool] = field(default_factory=dict)
    blank: bool = False


def is_normalized(pixels: np.ndarray) -> bool:
    """Whether a picture already has MNIST's form: 28x28, one bright digit on black in the 20x20 box, centred
    by its mass."""
    if pixels.shape != (SIDE, SIDE) or pixels.max() < 200:
        return False
    width, height = cv2.boundingRect(pixels)[2:]
    if not BOX - 2 <= max(width, height) <= BOX or cv2.countNonZero(pixels) > pixels.size / 2:
        return False
    x, y = _mass_centre(pixels)
    return max(abs(x - CENTRE), abs(y - CENTRE)) <= 0.75


def normalize(soft: np.ndarray, box: tuple[int, int, int, int], stroke: float) -> np.ndarray:
    """Bring ink into the field: the long side of its box BOX pixels, its centre of mass at CENTRE, no stroke
    too thin or too thick.

    Everything happens in one cut and one averaging, so a digit that was drawn large is placed by fractions of
    a pixel and does not jump when it is drawn a little to the side.

    Args:
        soft: uint8 (h, w), ink bright.
        box: left, top, width, height of the ink proper; its faint fringe lies outside and is kept.
        stroke: width of the strokes in pixels.

    Returns:
        uint8 (28, 28), averaged over areas as MNIST's anti-aliasing did.
    """
    size = max(box[2:])
    relative = stroke * BOX / size
    wanted = min(max(relative, MIN_STROKE_WIDTH), MAX_STROKE_WIDTH) if relative < _FILLED else relative
    if wanted == relative:
        return _shrink(_cut(soft, box, size), SIDE)
    # The digit grows or shrinks with its strokes: cut so much more or less around it.
    grown = size * (BOX - relative) / (BOX - wanted)
    # A canvas fine enough to change the width by a fraction of a pixel.
    fine = _shrink(_cut(soft, box, grown), SIDE * _FINE)
    reach = round(_FINE * abs(wanted - relative))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach + 1, reach + 1))
    change = cv2.dilate if wanted > relative else cv2.erode
    return _shrink(change(fine, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0), SIDE)


def _cut(soft: np.ndarray, box: tuple[int, int, int, int], size: float) -> np.ndarray:
    """The square around the ink that becomes the field, when `size` pixels become BOX."""
    side = max(1, round(size * SIDE / BOX))
    left, top, width, height = box
    ink = soft[top : top + height, left : left + width]
    x, y = _mass_centre(ink)
    middle = (CENTRE + 0.5) * side / SIDE - 0.5
    # the centre of mass decides, as long as the box stays inside
    first_x = min(max(round(left + x - middle), left + width - side), left)
    first_y = min(max(round(top + y - middle), top + height - side), top)
    bottom, right = first_y + side, first_x + side
    inside = soft[max(first_y, 0) : bottom, max(first_x, 0) : right]
    missing = (max(-first_y, 0), max(bottom - soft.shape[0], 0), max(-first_x, 0), max(right - soft.shape[1], 0))
    return cv2.copyMakeBorder(inside, *missing, cv2.BORDER_CONSTANT) if any(missing) else inside


def _shrink(square: np.ndarray, side: int) -> np.ndarray:
    method = cv2.INTER_AREA if side <= len(square) else cv2.INTER_CUBIC
    return cv2.resize(square, (side, side), interpolation=method)


def _mass_centre(glyph: np.ndarray) -> tuple[float, float]:
    """x and y of the centre of mass, counted from the middle of the first pixel."""
    moments = cv2.moments(glyph)
    total = moments["m00"] or 1.0
    return moments["m10"] / total, moments["m01"] / total
