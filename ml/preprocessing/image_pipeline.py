"""A picture to the 28x28 that the model sees: a quick path for clean pictures, a search where that is in
doubt.

Called through `ml.preprocessing` by the services that accept pictures and by the commands.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from ml.preprocessing import background
from ml.preprocessing.normalization import SIDE, Prepared, is_normalized, normalize
from ml.preprocessing.ruled_lines import remove_ruled_lines
from ml.preprocessing.segmentation import Segmentation, segment

# Pictures are reduced by a whole factor to at most this long a side; a canvas of 280 stays as it is.
_QUICK_SIDE = 320
# The search looks at several maps and needs less: MNIST's 20 pixels are still many times finer.
_SEARCH_SIDE = 192
# Nothing narrower than this can be read.
_LEAST_SIDE = 3
# Ink whose long side is below this many pixels is looked at again, closer, when the picture has more to give
# …
_CLOSE = 60
# … with so much of its surroundings, as a share of its size, that the paper around it can be judged.
_SURROUNDINGS = 0.4
# Below this many pixels along a side, lines of ruled paper cannot be told from strokes, and smoothing would
# eat them.
_DETAILED = 48
# Ink is faint down to these shares of full ink. Where the generous one makes it run out of the picture, the
# strict one may cut it free.
_GENEROUS, _STRICT = 0.25, 0.5
# A reading this plausible ends the search.
_GOOD_ENOUGH = 0.9
# What is as pale as this, in steps of 255, is pencil in the shade if it is as plausible as that, else stained paper.
_PALE, _PALE_ENOUGH = 12, 0.6
# How much the strength of the ink counts beside that: fully (1), and a shadow's edge beats every pencil.
_STRENGTH = 0.7
# One less plausible than this, or among so much ink that runs out of the picture, may be noise, clouds or a
# pattern: the answer is never called sure. On real digits that costs 1 sure answer in 150.
_DOUBTFUL = 0.5
_CROWDED = 0.4
# Two more readings that are never called sure, measured in docs/accuracy.md ("Soft clouds"). Ink paler than this that
# only the strict threshold cuts free has no outline: it fades into what surrounds it, as a cloud does.
_MIN_STRICT_CONTRAST = 20
# Ink of fewer pixels along its long side has less detail than the model was trained on; it is mostly misread.
_MIN_INK_PIXELS = 14


def prepare_image(image: Image.Image | np.ndarray, *, crop: tuple[int, int, int, int] | None = None) -> Prepared:
    """Find the ink of one digit and bring it into MNIST's form.

    Args:
        image: mode L, LA, RGB or RGBA, as `ml.serving.images.decode` gives it, or an array as
        `ml.serving.images.read` does. crop: left, top, right, bottom in the image's pixels, when a person has framed
        the digit.

    Returns:
        The 28x28 and the evidence about the ink; `blank` when no ink was found.
    """
    pixels = np.asarray(image)
    if crop is not None:
        left, top, right, bottom = (max(0, edge) for edge in crop)
        pixels = pixels[top:bottom, left:right]
    if min(pixels.shape[:2]) < _LEAST_SIDE:
        return Prepared(np.zeros((SIDE, SIDE), np.uint8), blank=True)
    reading = _find(background.flatten_alpha(pixels))
    if reading is None:
        return Prepared(np.zeros((SIDE, SIDE), np.uint8), blank=True)
    if not reading.features["quick"] and max(reading.bbox[2:]) < _MIN_INK_PIXELS:
        reading = reading.with_features(doubtful=True)
    finished = reading.features["quick"] and is_normalized(reading.ink_map)
    return Prepared(
        reading.ink_map if finished else normalize(reading.alpha, reading.bbox, reading.stroke), reading.features
    )


def _find(pixels: np.ndarray) -> Segmentation | None:
    """The best reading of a picture; looked at twice when its ink is small in it."""
    small = _reduce(pixels, _QUICK_SIDE)
    reading = _quick(small)
    if reading is None:
        reading = _search(small := _fit_within(small, _SEARCH_SIDE))
    if reading is None or max(reading.bbox[2:]) >= _CLOSE or max(pixels.shape) <= 1.5 * max(small.shape):
        return reading
    closer = _close_up(pixels, reading.bbox, max(pixels.shape) / max(small.shape))
    found = _quick(closer) or _search(_fit_within(closer, _SEARCH_SIDE))
    # what lies beside the digit was seen in the whole picture only
    whole = {name: reading.features[name] for name in ("large", "several", "coverage")}
    if found is None:
        return reading
    return found.with_features(**whole, doubtful=found.features["doubtful"] or reading.features["doubtful"])


def _reduce(pixels: np.ndarray, side: int) -> np.ndarray:
    factor = -(-max(pixels.shape[:2]) // side)
    if factor < 2:
        return pixels
    height, width = pixels.shape[:2]
    return cv2.resize(pixels, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)


def _fit_within(pixels: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    height, width = pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _close_up(pixels: np.ndarray, box: tuple[int, int, int, int], scale: float) -> np.ndarray:
    left, top, width, height = (value * scale for value in box)
    margin = _SURROUNDINGS * max(width, height)
    rows = slice(max(0, int(top - margin)), int(top + height + margin) + 1)
    columns = slice(max(0, int(left - margin)), int(left + width + margin) + 1)
    return _reduce(np.ascontiguousarray(pixels[rows, columns]), _QUICK_SIDE)


def _quick(pixels: np.ndarray) -> Segmentation | None:
    """The reading against one paper colour, if the picture itself shows no reason to doubt it."""
    flat, even = background.subtract_flat_background(pixels)
    if even < 0.98:
        return None
    reading = segment(flat)
    if reading is None:
        return None
    found = reading.features
    certain = (
        found["contrast"] >= 60
        and found["noise"] <= 0.12 * found["contrast"]
        and found["speckle"] < 0.02
        and found["edge"] == 0
        # nearly all of it faint, or a filled shape as large as the picture: a sheet inside a frame of another
        # colour
        and found["halo"] < 0.6
        and not (found["coverage"] > 0.6 and found["fill"] > 0.8)
    )
    return reading.with_features(quick=True) if certain else None


def _search(pixels: np.ndarray) -> Segmentation | None:
    """The most plausible reading over several ideas of what is paper."""
    detailed = min(pixels.shape[:2]) >= _DETAILED
    found: list[tuple[float, Segmentation]] = []
    best = 0.0
    for trust, ink_map in _maps(pixels, smooth=detailed):
        if trust <= best:  # even a perfect reading of it would not be chosen
            continue
        cleaned, lines = remove_ruled_lines(ink_map) if detailed else (ink_map, 0)
        for faint in (_GENEROUS, _STRICT):
            reading = segment(cleaned, faint=faint)
            if reading is None:
                break
            score = trust * _plausible(reading) * (1.0 if faint == _GENEROUS else 0.95)
            if reading.features["contrast"] < _PALE and score < _PALE_ENOUGH:
                break
            pale = faint == _STRICT and reading.features["contrast"] < _MIN_STRICT_CONTRAST
            doubtful = score < _DOUBTFUL or reading.features["neighbours"] > _CROWDED or pale
            reading = reading.with_features(lines=lines, doubtful=doubtful)
            if score >= _GOOD_ENOUGH:
                return reading
            found.append((score, reading))
            best = max(best, score)
            if reading.features["edge"] == 0:
                break
    if not found:
        return None
    # of two readings, that of the stronger ink is more likely the pen's and not the paper's
    strongest = max(reading.features["contrast"] for _, reading in found)
    return max(found, key=lambda pair: pair[0] * (pair[1].features["contrast"] / strongest) ** _STRENGTH)[1]


def _maps(pixels: np.ndarray, *, smooth: bool) -> Iterator[tuple[float, np.ndarray]]:
    """Maps to read, cheapest first, each with how far it is trusted: 1.0 is fully."""
    flat, even = background.subtract_flat_background(pixels)
    if even > 0.75:
        yield even, flat
    pixels = background.drop_redundant_channels(pixels)
    if smooth:
        pixels = cv2.GaussianBlur(pixels, (3, 3), 0)
    # Dark ink on bright paper or bright ink on dark: the other two are rare, and shadows and gleams look like
    # them.
    brightness = float(np.median(pixels))
    dark_trust = float(np.interp(brightness, (50, 80), (0.5, 1.0)))
    bright_trust = float(np.interp(brightness, (70, 100), (1.0, 0.35)))
    dark, bright = background.subtract_curved_background(pixels)
    yield from sorted(((dark_trust, dark), (bright_trust, bright)), key=lambda pair: -pair[0])
    dark, bright = background.subtract_local_background(pixels)
    yield 0.85 * dark_trust, dark
    if smooth:  # in a picture of few pixels its window is as narrow as a stroke
        yield 0.8 * dark_trust, background.divide_by_local_background(pixels)
    # the inside of every loop of dark ink is a bright spot to this map
    yield 0.5 * bright_trust, bright


def _plausible(reading: Segmentation) -> float:
    """How much a reading looks like the strokes of one digit, 0 to 1: each doubt takes its share."""
    found = reading.features
    separation = min(1.0, found["contrast"] / (10 * found["noise"] + 1))
    pieces = 1 / (1 + 0.1 * (found["parts"] - 1))
    sharp = min(1.0, 2 * (1 - found["halo"]))
    lonely = (1 - found["speckle"]) ** 2 * (1 - 0.5 * found["neighbours"])
    inside = 1 / (1 + 10 * found["edge"])
    thin = 1.0 if found["stroke"] < 0.3 else 0.3
    # a filled shape that is no upright stroke is a shadow or the inside of something
    lines = 0.4 if found["fill"] > 0.58 and found["aspect"] > 0.4 else 1.0
    return separation * pieces * sharp * lonely * inside * thin * lines
