"""Segmentation of images: a quick path for clean images, and a search over background models for the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ml.preprocessing import background
from ml.preprocessing.ruled_lines import remove_ruled_lines
from ml.preprocessing.segmentation import Segmentation, segment

if TYPE_CHECKING:
    from collections.abc import Iterator

# Images are reduced by an integer factor until the long side is at most this; a canvas of 280 pixels is unchanged.
_QUICK_SIDE = 320
# The search examines several maps and needs fewer pixels: this is still many times finer than MNIST's 20 pixels.
_SEARCH_SIDE = 192
# Ink with a shorter long side, in pixels, is segmented a second time in a crop, if the image has more detail …
_MIN_CLOSE_UP_SIDE = 60
# … with this margin around it, as a share of its size, so that the paper can be estimated.
_CLOSE_UP_MARGIN = 0.4
# With a shorter side, in pixels, ruled lines cannot be distinguished from strokes, and smoothing would remove strokes.
_MIN_DETAILED_SIDE = 48
# Faint ink counts down to these shares of full ink. If ink touches the edge at the low threshold, the high one may
# separate it.
_LOW_THRESHOLD, _HIGH_THRESHOLD = 0.25, 0.5
# The search ends at a segmentation with this score.
_GOOD_SCORE = 0.9
# Ink with less contrast than this, in steps of 255, is pencil in the shade above that score, and stained paper below.
_PALE_CONTRAST, _MIN_PALE_SCORE = 12, 0.6
# Exponent of the relative contrast in the final score. With 1, the edge of a shadow beats any pencil.
_CONTRAST_EXPONENT = 0.7
# A segmentation with a lower score, or with a greater share of ink that touches the edge of the image, may be noise,
# clouds or a pattern, so the answer is never "sure". On real digits that costs 1 sure answer in 150.
_MIN_SURE_SCORE = 0.5
_MAX_SURE_NEIGHBOURS = 0.4
# Two more cases that are never "sure", measured in docs/appendix/accuracy-history.md ("Soft clouds"). Ink with less
# contrast than this that only the high threshold separates has no outline: it fades out like a cloud.
_MIN_HIGH_THRESHOLD_CONTRAST = 20


def segment_image(pixels: np.ndarray) -> Segmentation | None:
    """Find the best segmentation of an image, with a second pass on a crop if the ink is small in it.

    Args:
        pixels: uint8 (h, w) or (h, w, 3).

    Returns:
        The segmentation; None if nothing stands out from the paper.
    """
    small = reduce(pixels, _QUICK_SIDE)
    whole = _segment_clean(small)
    if whole is None:
        whole = _search(small := fit_within(small, _SEARCH_SIDE))
    if whole is None or max(whole.bbox[2:]) >= _MIN_CLOSE_UP_SIDE or max(pixels.shape) <= 1.5 * max(small.shape):
        return whole
    close_up = _crop_close_up(pixels, whole.bbox, max(pixels.shape) / max(small.shape))
    detailed = _segment_clean(close_up) or _search(fit_within(close_up, _SEARCH_SIDE))
    if detailed is None:
        return whole
    # Only the whole image shows what lies next to the digit.
    surroundings = {name: whole.features[name] for name in ("large", "several", "coverage")}
    # A clean close-up is not doubted because the ink is small in the whole image.
    is_clean = detailed.features["quick"]
    is_doubtful = detailed.features["doubtful"] or (whole.features["doubtful"] and not is_clean)
    return detailed.with_features(**surroundings, doubtful=is_doubtful)


def reduce(pixels: np.ndarray, side: int) -> np.ndarray:
    """Reduce an image by an integer factor until its long side is at most `side`."""
    factor = -(-max(pixels.shape[:2]) // side)
    if factor < 2:
        return pixels
    height, width = pixels.shape[:2]
    return cv2.resize(pixels, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)


def fit_within(pixels: np.ndarray, side: int) -> np.ndarray:
    """Reduce an image until its long side is `side`, if it is longer."""
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    height, width = pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _crop_close_up(pixels: np.ndarray, bbox: tuple[int, int, int, int], scale: float) -> np.ndarray:
    """Crop the ink and its margin from an image that is `scale` times larger than the one with the bounding box."""
    left, top, width, height = (value * scale for value in bbox)
    margin = _CLOSE_UP_MARGIN * max(width, height)
    rows = slice(max(0, int(top - margin)), int(top + height + margin) + 1)
    columns = slice(max(0, int(left - margin)), int(left + width + margin) + 1)
    return reduce(np.ascontiguousarray(pixels[rows, columns]), _QUICK_SIDE)


def _segment_clean(pixels: np.ndarray) -> Segmentation | None:
    """Segment against a flat background; None unless the image is clean."""
    ink_map, border_share = background.subtract_flat_background(pixels)
    if border_share < 0.98:
        return None
    segmentation = segment(ink_map)
    if segmentation is None:
        return None
    features = segmentation.features
    is_clean = (
        features["contrast"] >= 60
        and features["noise"] <= 0.12 * features["contrast"]
        and features["speckle"] < 0.02
        and features["edge"] == 0
        # Mostly faint ink, or a filled shape as large as the image: a sheet of paper on a desk of another colour.
        and features["halo"] < 0.6
        and not (features["coverage"] > 0.6 and features["fill"] > 0.8)
    )
    return segmentation.with_features(quick=True) if is_clean else None


def _search(pixels: np.ndarray) -> Segmentation | None:
    """Return the segmentation with the highest score over several background models."""
    is_detailed = min(pixels.shape[:2]) >= _MIN_DETAILED_SIDE
    candidates: list[tuple[float, Segmentation]] = []
    best_score = 0.0
    for trust, ink_map in iter_ink_maps(pixels, smooth=is_detailed):
        if trust <= best_score:  # even a perfect segmentation of this map would not win
            continue
        cleaned, lines = remove_ruled_lines(ink_map) if is_detailed else (ink_map, 0)
        for threshold in (_LOW_THRESHOLD, _HIGH_THRESHOLD):
            segmentation = segment(cleaned, faint=threshold)
            if segmentation is None:
                break
            features = segmentation.features
            score = trust * _score(segmentation) * (1.0 if threshold == _LOW_THRESHOLD else 0.95)
            if features["contrast"] < _PALE_CONTRAST and score < _MIN_PALE_SCORE:
                break
            is_cloudy = threshold == _HIGH_THRESHOLD and features["contrast"] < _MIN_HIGH_THRESHOLD_CONTRAST
            is_doubtful = score < _MIN_SURE_SCORE or features["neighbours"] > _MAX_SURE_NEIGHBOURS or is_cloudy
            segmentation = segmentation.with_features(lines=lines, doubtful=is_doubtful)
            if lines:
                segmentation = replace(segmentation, ruled_map=ink_map)
            if score >= _GOOD_SCORE:
                return segmentation
            candidates.append((score, segmentation))
            best_score = max(best_score, score)
            if features["edge"] == 0:
                break
    if not candidates:
        return None
    # Of two candidates, the one with the stronger ink is more likely pen than paper.
    max_contrast = max(candidate.features["contrast"] for _, candidate in candidates)
    return max(
        candidates, key=lambda pair: pair[0] * (pair[1].features["contrast"] / max_contrast) ** _CONTRAST_EXPONENT
    )[1]


def iter_ink_maps(pixels: np.ndarray, *, smooth: bool) -> Iterator[tuple[float, np.ndarray]]:
    """Yield ink maps, cheapest first, each with a prior weight for its score, at most 1.0."""
    flat, border_share = background.subtract_flat_background(pixels)
    if border_share > 0.75:
        yield border_share, flat
    pixels = background.drop_redundant_channels(pixels)
    if smooth:
        pixels = cv2.GaussianBlur(pixels, (3, 3), 0)
    # Dark ink is expected on bright paper and bright ink on dark paper. The other combinations are rare, and shadows
    # and reflections look like them.
    brightness = float(np.median(pixels))
    dark_trust = float(np.interp(brightness, (50, 80), (0.5, 1.0)))
    bright_trust = float(np.interp(brightness, (70, 100), (1.0, 0.35)))
    dark, bright = background.subtract_curved_background(pixels)
    yield from sorted(((dark_trust, dark), (bright_trust, bright)), key=lambda pair: -pair[0])
    dark, bright = background.subtract_local_background(pixels)
    yield 0.85 * dark_trust, dark
    if smooth:  # in an image with few pixels the window is as narrow as a stroke
        yield 0.8 * dark_trust, background.divide_by_local_background(pixels)
    # In this map the inside of every loop of dark ink is a bright spot.
    yield 0.5 * bright_trust, bright


def _score(segmentation: Segmentation) -> float:
    """Return the plausibility of a segmentation as the strokes of one digit, 0 to 1: a product of penalties."""
    features = segmentation.features
    separation = min(1.0, features["contrast"] / (10 * features["noise"] + 1))
    few_parts = 1 / (1 + 0.1 * (features["parts"] - 1))
    sharpness = min(1.0, 2 * (1 - features["halo"]))
    isolation = (1 - features["speckle"]) ** 2 * (1 - 0.5 * features["neighbours"])
    inside = 1 / (1 + 10 * features["edge"])
    thinness = 1.0 if features["stroke"] < 0.3 else 0.3
    # A filled shape that is not an upright stroke is a shadow or the inside of an object.
    openness = 0.4 if features["fill"] > 0.58 and features["aspect"] > 0.4 else 1.0
    return separation * few_parts * sharpness * isolation * inside * thinness * openness
