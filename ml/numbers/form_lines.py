"""Removal of the printed lines of forms: frames, cells, combs and base lines; whole, broken or dashed.

Unlike ruled paper (`ml.preprocessing.ruled_lines`) these lines need not cross the whole image, and dividers are as tall
as digits. What distinguishes them is length, straightness, and that they meet each other.
"""

from __future__ import annotations

import cv2
import numpy as np

# All lengths are in heights of a digit.
# Thickness of a printed line, at most.
_MAX_THICKNESS = 0.13
# Gaps up to this length in a dashed line are bridged.
_MAX_DASH_GAP = 0.3
# A straight horizontal line of this length is no stroke of a digit; in its rows, shorter ones are parts of it.
_MIN_HORIZONTAL, _MIN_HORIZONTAL_PART = 1.7, 0.35
# So are several parts of the first length in one row that add up to the second: the foot of a 2 is shorter.
_MIN_SUMMED_PART, _MIN_PARTS = 0.95, 2.5
# Between two horizontal lines at this distance, a column with this share of ink, near both lines, is a divider.
_MIN_BAND, _MAX_BAND, _MIN_COVERAGE, _MAX_END_GAP = 0.9, 2.4, 0.4, 0.12
# A straight vertical line of this length that meets a horizontal one is no stem of a digit.
_MIN_VERTICAL = 0.95
# Bars are upright: their box is hardly wider than a printed line. A bar belongs to the form if it meets a horizontal
# line, or if it lies in the column of one that does.
_MAX_BAR_WIDTH, _MIN_BAR_HEIGHT, _MAX_RELATIVE_BAR_WIDTH = 0.18, 0.08, 1.8
_MAX_TICK, _MIN_DIVIDER = 0.75, 1.08
_MAX_BAR_GAP, _COLUMN_TOLERANCE = 0.14, 0.06
# What is left of a line next to the removed part.
_MAX_REMNANT = 0.2
_REACH = 2


def remove_form_lines(ink_map: np.ndarray, mask: np.ndarray, digit_height: float) -> np.ndarray:
    """Remove the lines of a form from an ink map.

    Args:
        ink_map: uint8 (h, w), 0 is paper.
        mask: uint8 (h, w), 255 for ink.
        digit_height: estimated height of a digit in pixels.

    Returns:
        The map without lines; the same array if it has none.
    """
    horizontal = _find_horizontal(mask, digit_height, _MIN_HORIZONTAL)
    parts = _find_horizontal(mask, digit_height, _MIN_HORIZONTAL_PART)
    rows = _find_rows(horizontal, _find_horizontal(mask, digit_height, _MIN_SUMMED_PART), digit_height)
    if not rows.any():
        return ink_map
    horizontal = cv2.bitwise_or(horizontal, parts * rows[:, None])
    vertical = np.ascontiguousarray(_find_horizontal(np.ascontiguousarray(mask.T), digit_height, _MIN_VERTICAL).T)
    reach = 2 * max(_REACH, round(_MAX_BAR_GAP * digit_height)) + 1
    near = cv2.dilate(horizontal, np.ones((reach, reach), np.uint8))
    lines = cv2.bitwise_or(horizontal, _components_touching(vertical, near))
    lines = cv2.bitwise_or(lines, _find_dividers(mask, rows, digit_height))
    thickness = _thickness(horizontal)
    removed = cv2.bitwise_and(lines, cv2.bitwise_not(_bridge_strokes(mask, lines, thickness)))
    rest = cv2.bitwise_and(mask, cv2.bitwise_not(removed))
    removed = cv2.bitwise_or(removed, _find_bars(rest, lines, near, thickness, digit_height))
    rest = cv2.bitwise_and(mask, cv2.bitwise_not(removed))
    # The blurred edge of a line lies next to it.
    fringe = cv2.bitwise_and(cv2.dilate(removed, np.ones((3, 3), np.uint8)), cv2.bitwise_not(rest))
    cleaned = ink_map.copy()
    cleaned[cv2.bitwise_or(removed, fringe) > 0] = 0
    return cleaned


def _find_horizontal(mask: np.ndarray, digit_height: float, min_length: float) -> np.ndarray:
    """Return the pixels of straight, thin, nearly horizontal lines, uint8 (h, w)."""
    height, width = mask.shape
    length = max(3, round(min_length * digit_height))
    thickness = max(2, round(_MAX_THICKNESS * digit_height))
    if length >= width or height < thickness + 1:
        return np.zeros_like(mask)
    gap = max(3, round(_MAX_DASH_GAP * digit_height))
    bridged = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))
    thick = cv2.morphologyEx(bridged, cv2.MORPH_OPEN, np.ones((thickness + 1, 1), np.uint8))
    thin = cv2.subtract(bridged, thick)
    # A tilted line is a staircase: widened by a pixel, it stays in one row long enough. Strokes that cross it are
    # thick, so small gaps are bridged again.
    wide = cv2.dilate(thin, np.ones((3, 1), np.uint8))
    wide = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))
    runs = cv2.morphologyEx(wide, cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
    near = cv2.bitwise_and(cv2.dilate(runs, np.ones((3, 1), np.uint8)), mask)
    return cv2.bitwise_and(near, cv2.bitwise_or(thin, runs))


def _find_rows(lines: np.ndarray, parts: np.ndarray, digit_height: float) -> np.ndarray:
    """Return which rows hold a horizontal line, whole or in parts, uint8 (h,), 0 or 1."""
    window = np.ones((2 * _REACH + 1, 1), np.uint8)
    lengths = np.count_nonzero(cv2.dilate(parts, window), axis=1)
    is_line = lines.any(axis=1) | (lengths >= _MIN_PARTS * digit_height)
    return cv2.dilate(is_line.astype(np.uint8)[:, None], window)[:, 0]


def _find_dividers(mask: np.ndarray, rows: np.ndarray, digit_height: float) -> np.ndarray:
    """Return the vertical lines between two horizontal ones, whole, broken or dashed, uint8 (h, w)."""
    dividers = np.zeros_like(mask)
    starts = np.flatnonzero(np.diff(rows.astype(np.int8)) == -1) + 1
    ends = np.flatnonzero(np.diff(rows.astype(np.int8)) == 1) + 1
    thickness = max(2, round(_MAX_THICKNESS * digit_height))
    for start in starts:
        for end in ends[ends > start][:1]:
            if not _MIN_BAND * digit_height <= end - start <= _MAX_BAND * digit_height:
                continue
            band = mask[start:end]
            thin = cv2.subtract(band, cv2.morphologyEx(band, cv2.MORPH_OPEN, np.ones((1, thickness + 1), np.uint8)))
            wide = cv2.dilate(thin, np.ones((1, 3), np.uint8)) > 0
            margin = max(2, round(_MAX_END_GAP * (end - start)))
            is_divider = (wide.mean(axis=0) >= _MIN_COVERAGE) & wide[:margin].any(axis=0) & wide[-margin:].any(axis=0)
            columns = cv2.dilate(is_divider.astype(np.uint8)[None], np.ones((1, 3), np.uint8))
            dividers[start:end] = thin * columns
    return dividers


def _components_touching(mask: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the components of a mask that share pixels with another mask."""
    count, labels = cv2.connectedComponents(mask, connectivity=8)
    touching = (np.bincount(labels[other > 0], minlength=count) > 0).astype(np.uint8) * 255
    touching[0] = 0
    components: np.ndarray = touching[labels]
    return components


def _thickness(lines: np.ndarray) -> float:
    """Return the mean thickness of lines in pixels."""
    inner = cv2.erode(lines, np.ones((3, 3), np.uint8))
    area = cv2.countNonZero(lines)
    return 2.0 * area / max(1, area - cv2.countNonZero(inner))


def _bridge_strokes(mask: np.ndarray, lines: np.ndarray, thickness: float) -> np.ndarray:
    """Return the strokes, closed where they cross a line."""
    gap = max(3, round(thickness) + 2) | 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap))
    return cv2.morphologyEx(cv2.bitwise_and(mask, cv2.bitwise_not(lines)), cv2.MORPH_CLOSE, element)


def _find_bars(
    rest: np.ndarray, lines: np.ndarray, near: np.ndarray, thickness: float, digit_height: float
) -> np.ndarray:
    """Return what is left of a form next to its lines: ticks, dividers and pieces of a broken frame.

    Args:
        rest: uint8 (h, w), the ink without lines.
        lines: uint8 (h, w), the lines.
        near: uint8 (h, w), the neighbourhood of the horizontal lines.
        thickness: of the lines, in pixels.
        digit_height: in pixels.
    """
    _, labels, stats, centres = cv2.connectedComponentsWithStatsWithAlgorithm(rest, 8, cv2.CV_32S, cv2.CCL_GRANA)
    beside = cv2.dilate(lines, np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8))
    is_beside = np.bincount(labels[beside > 0], minlength=len(stats)) > 0
    is_near = np.bincount(labels[near > 0], minlength=len(stats)) > 0
    wide, high = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    max_width = min(_MAX_BAR_WIDTH * digit_height, max(3.0, 0.1 * digit_height, _MAX_RELATIVE_BAR_WIDTH * thickness))
    is_bar = (wide <= max_width) & (high >= _MIN_BAR_HEIGHT * digit_height)
    # A bar of a digit's height that stands on a line is a 1.
    is_digit_1 = (high > _MAX_TICK * digit_height) & (high < _MIN_DIVIDER * digit_height)
    columns = centres[is_bar & is_near & ~is_digit_1, 0]
    tolerance = max(2.0, _COLUMN_TOLERANCE * digit_height)
    in_column = np.array([bool((np.abs(columns - x) <= tolerance).any()) for x in centres[:, 0]])
    is_small = np.maximum(wide, high) <= _MAX_REMNANT * digit_height
    is_flat = (high <= _MAX_THICKNESS * digit_height) & (wide > high)
    removed = (is_bar & in_column) | (is_beside & (is_small | is_flat))
    removed[0] = False
    bars: np.ndarray = (removed.astype(np.uint8) * 255)[labels]
    return bars
