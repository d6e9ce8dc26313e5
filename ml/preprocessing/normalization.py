"""Size and position normalization: ink of any size to the 28x28 pixels the model was trained on.

This follows MNIST's own procedure (LeCun, Cortes, Burges, "The MNIST database"): the digit fits a 20x20 box, and its
centre of mass lies in the middle of the 28x28 field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2

from ml.readings import Reading, ReadingKind, encode_further
from ml.versions import SIDE

if TYPE_CHECKING:
    import numpy as np

BOX = 20
# MNIST's centres of mass lie at pixel 14 of 0..27, counted from the middle of the first pixel (measured:
# 14.00 +- 0.29 on both axes), half a pixel off the middle of the field.
CENTRE = 14.0
# Stroke widths in the 28x28, in pixels, that are frequent in training data: MNIST's 5th and 95th percentiles are 1.6
# and 3.8.
MIN_STROKE_WIDTH = 1.9
MAX_STROKE_WIDTH = 4.2
# Anything wider is a filled shape, not a stroke, and keeps its width.
_MIN_FILLED_WIDTH = 7.0
# Oversampling of the 28x28 while strokes are made thicker or thinner.
_OVERSAMPLING = 8


@dataclass(frozen=True)
class Prepared:
    """The readings of an image: the plain one and alternatives, of which the classifier chooses one.

    Attributes:
        pixels: the plain reading, uint8 (28, 28), white ink on black, as in MNIST.
        ink: image features of the plain reading, JSON-serializable, on which the verdict depends; empty when blank.
            `contrast`: strength of ink over paper, 0 to 255;
            `noise`: standard deviation of the paper, in the same steps;
            `parts`: number of components of the digit;
            `large`: number of components of a digit's height side by side, 1 for a single digit;
            `several`: whether `large` or a great width indicates several digits;
            `speckle`: share of all ink that is scattered elsewhere, high for noise and texture;
            `neighbours`: share of all ink that was ignored because it touches the edge of the image;
            `edge`: share of the image's outermost pixels that the digit covers;
            `coverage`: share of the image that the digit covers;
            `fill`: share of its own bounding box that the digit covers;
            `aspect`: width of the bounding box over its height;
            `stroke`: width of the strokes over the long side of the bounding box;
            `dot`: whether the stroke width makes it a dot or a filled shape;
            `doubtful`: whether it may be noise or a pattern instead of writing, so that no answer is sure;
            `halo`: share of the digit's area that is faint;
            `lines`: number of ruled lines that were removed;
            `quick`: whether the image was clean enough for the quick path.
        blank: the plain reading found no ink; all of its pixels are zero.
        alternatives: further readings, at most MAX_READINGS - 1; empty unless there is evidence for them.
    """

    pixels: np.ndarray
    ink: dict[str, float | int | bool] = field(default_factory=dict)
    blank: bool = False
    alternatives: tuple[Reading, ...] = ()

    @property
    def readings(self) -> tuple[Reading, ...]:
        """All readings; the first is the plain one."""
        return (Reading(ReadingKind.PLAIN, self.pixels, self.ink), *self.alternatives)

    @property
    def encoded_alternatives(self) -> tuple[bytes, list[dict[str, Any]]]:
        """Pixels and image features of the alternatives, encoded for `ml.readings.decode_readings`."""
        return encode_further(self.readings)

    @property
    def is_empty(self) -> bool:
        """True if no reading has ink."""
        return self.blank and not self.alternatives


def is_normalized(pixels: np.ndarray) -> bool:
    """Return whether an image is already in MNIST's form.

    That is 28x28 with one bright digit on black in the 20x20 box, centred by its mass.
    """
    if pixels.shape != (SIDE, SIDE) or pixels.max() < 200:
        return False
    width, height = cv2.boundingRect(pixels)[2:]
    if not BOX - 2 <= max(width, height) <= BOX or cv2.countNonZero(pixels) > pixels.size / 2:
        return False
    x, y = _centre_of_mass(pixels)
    return max(abs(x - CENTRE), abs(y - CENTRE)) <= 0.75


def normalize(alpha: np.ndarray, bbox: tuple[int, int, int, int], stroke: float) -> np.ndarray:
    """Scale and centre ink in the field.

    The long side of the bounding box becomes BOX pixels, the centre of mass goes to CENTRE, and strokes get a width
    between MIN_STROKE_WIDTH and MAX_STROKE_WIDTH. There is one crop and one averaging step, so a large drawing is
    positioned with sub-pixel precision and does not jump when it is drawn slightly to the side.

    Args:
        alpha: uint8 (h, w), ink bright.
        bbox: left, top, width, height of the full ink; its faint fringe may lie outside and is kept.
        stroke: width of the strokes in pixels.

    Returns:
        uint8 (28, 28), averaged over areas as MNIST's anti-aliasing does.
    """
    size = max(bbox[2:])
    relative = stroke * BOX / size
    target = min(max(relative, MIN_STROKE_WIDTH), MAX_STROKE_WIDTH) if relative < _MIN_FILLED_WIDTH else relative
    if target == relative:
        return _resize(_crop(alpha, bbox, size), SIDE)
    # The digit grows or shrinks with its strokes, so the crop is adjusted by the same amount.
    adjusted_size = size * (BOX - relative) / (BOX - target)
    # Fine enough to change the width by a fraction of a pixel.
    fine = _resize(_crop(alpha, bbox, adjusted_size), SIDE * _OVERSAMPLING)
    reach = round(_OVERSAMPLING * abs(target - relative))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach + 1, reach + 1))
    morph = cv2.dilate if target > relative else cv2.erode
    return _resize(morph(fine, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0), SIDE)


def _crop(alpha: np.ndarray, bbox: tuple[int, int, int, int], size: float) -> np.ndarray:
    """Crop the square that becomes the field when `size` pixels become BOX."""
    side = max(1, round(size * SIDE / BOX))
    left, top, width, height = bbox
    ink = alpha[top : top + height, left : left + width]
    x, y = _centre_of_mass(ink)
    middle = (CENTRE + 0.5) * side / SIDE - 0.5
    # Centre by mass, as far as the bounding box stays inside.
    first_x = min(max(round(left + x - middle), left + width - side), left)
    first_y = min(max(round(top + y - middle), top + height - side), top)
    bottom, right = first_y + side, first_x + side
    inside = alpha[max(first_y, 0) : bottom, max(first_x, 0) : right]
    padding = (max(-first_y, 0), max(bottom - alpha.shape[0], 0), max(-first_x, 0), max(right - alpha.shape[1], 0))
    return cv2.copyMakeBorder(inside, *padding, cv2.BORDER_CONSTANT) if any(padding) else inside


def _resize(square: np.ndarray, side: int) -> np.ndarray:
    method = cv2.INTER_AREA if side <= len(square) else cv2.INTER_CUBIC
    return cv2.resize(square, (side, side), interpolation=method)


def _centre_of_mass(ink: np.ndarray) -> tuple[float, float]:
    """Return the x and y of the centre of mass, counted from the middle of the first pixel."""
    moments = cv2.moments(ink)
    total = moments["m00"] or 1.0
    return moments["m10"] / total, moments["m01"] / total
