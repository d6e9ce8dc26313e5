"""Preprocessing of images: the plain reading, and further readings where there is evidence for them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ml.preprocessing.alternatives import iter_alternatives
from ml.preprocessing.background import flatten_alpha
from ml.preprocessing.normalization import Prepared, is_normalized, normalize
from ml.preprocessing.search import segment_image
from ml.readings import MAX_READINGS, Reading
from ml.versions import SIDE

if TYPE_CHECKING:
    from PIL import Image

    from ml.preprocessing.segmentation import Segmentation

# Images with a shorter side than this cannot be read.
_MIN_SIDE = 3
# Ink with fewer pixels along its long side has less detail than the training data and is mostly misread.
_MIN_INK_PIXELS = 14


def prepare_image(image: Image.Image | np.ndarray, *, crop: tuple[int, int, int, int] | None = None) -> Prepared:
    """Find the ink of one digit and convert it to MNIST's form.

    Args:
        image: mode L, LA, RGB or RGBA, as `ml.serving.images.decode` returns it, or an array as
            `ml.serving.images.read` returns it.
        crop: left, top, right, bottom of a region selected by a person, in pixels of the image.

    Returns:
        The readings and their image features; `blank` if the plain reading found no ink.
    """
    pixels = np.asarray(image)
    if crop is not None:
        left, top, right, bottom = (max(0, edge) for edge in crop)
        pixels = pixels[top:bottom, left:right]
    if min(pixels.shape[:2]) < _MIN_SIDE:
        return Prepared(np.zeros((SIDE, SIDE), np.uint8), blank=True)
    pixels = flatten_alpha(pixels)
    plain = segment_image(pixels)
    if plain is not None and plain.features["quick"] and is_normalized(plain.ink_map):
        return Prepared(plain.ink_map, plain.features)
    alternatives = tuple(
        Reading(kind, *_normalize(segmentation))
        for kind, segmentation in islice(iter_alternatives(pixels, plain), MAX_READINGS - 1)
    )
    if plain is None:
        return Prepared(np.zeros((SIDE, SIDE), np.uint8), blank=True, alternatives=alternatives)
    return Prepared(*_normalize(plain), alternatives=alternatives)


def _normalize(segmentation: Segmentation) -> tuple[np.ndarray, dict[str, float | int | bool]]:
    """Return the 28x28 pixels and the features of a segmentation."""
    if not segmentation.features["quick"] and max(segmentation.bbox[2:]) < _MIN_INK_PIXELS:
        segmentation = segmentation.with_features(doubtful=True)
    return normalize(segmentation.alpha, segmentation.bbox, segmentation.stroke), segmentation.features
