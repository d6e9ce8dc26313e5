"""Ruled and squared paper: printed lines found and taken out of a map, the strokes that cross them left
whole.

Without this, a line ties the digit to both edges of the picture.
"""

from __future__ import annotations

import cv2
import numpy as np

from ml.preprocessing.masked import masked_mean, masked_std

# A printed line is no thicker than this share of the picture's short side …
_THICKNESS = 0.04
# … seen as an average over this share of the picture's width, which lifts a pale or broken line out of the
# noise …
_WINDOW = 0.2
# … and reaches to within this share of both edges.
_REACH = 0.06
# The weakest line that matters, in steps of 255; weaker ones are not taken for ink anyway.
_WEAKEST = 7.0
# Along a line its strength is followed up to this factor of its median: above it, the mean holds ink of the
# pen.
_CAP = 1.3
# A line's blurred edge reaches so far beyond it, in pixels: less leaves a hair of it, to which faint ink is tied.
_FRINGE = 1.5
# Ink this much stronger than the line it crosses is the pen's.
_STRONGER = 1.6


def remove_ruled_lines(ink_map: np.ndarray) -> tuple[np.ndarray, int]:
    """Take printed lines, level or upright, out of a map.

    Args:
        ink_map: uint8 (h, w), 0 paper.

    Returns:
        The map without them (the same array when there are none) and the number of lines.
    """
    above = cv2.threshold(ink_map, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
    least = max(_WEAKEST, 0.15 * masked_mean(ink_map, above), masked_std(ink_map, cv2.bitwise_not(above)))
    thickness = max(2, round(_THICKNESS * min(ink_map.shape)))
    level = _lines(ink_map, least, thickness)
    upright = _lines(np.ascontiguousarray(ink_map.T), least, thickness)
    found = [level] if level is not None else []
    if upright is not None:
        found.append((np.ascontiguousarray(upright[0].T), *upright[1:]))
    if not found:
        return ink_map, 0
    strength = found[0][0] if len(found) == 1 else cv2.max(found[0][0], found[1][0])
    line = cv2.compare(strength, 0, cv2.CMP_GT)
    printed = float(np.median(strength[line > 0]))
    if _pen_is_stronger(ink_map, printed):
        # then all that is as weak as the lines can go, what the search for lines has missed included
        least = 1.25 * printed
        ink_map = cv2.threshold(ink_map, least, 255, cv2.THRESH_TOZERO)[1]
    rest = cv2.bitwise_and(cv2.compare(ink_map, least, cv2.CMP_GT), cv2.bitwise_not(line))
    inked = cv2.countNonZero(cv2.bitwise_and(cv2.compare(cv2.multiply(ink_map, 2), strength, cv2.CMP_GT), line))
    gap = round(inked / sum(number * length for _, number, length in found)) + 4
    bridge = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap))
    pen = cv2.morphologyEx(rest, cv2.MORPH_CLOSE, bridge)
    pen |= cv2.compare(ink_map, cv2.multiply(strength, _STRONGER), cv2.CMP_GT)
    cleaned = ink_map.copy()
    cleaned[cv2.bitwise_and(line, cv2.bitwise_not(pen)) > 0] = 0
    return cleaned, sum(number for _, number, _ in found)


def _pen_is_stronger(ink_map: np.ndarray, printed: float) -> bool:
    """Whether something in the map is at least twice as strong as the printed lines, and more than a few
    pixels of noise."""
    pen = cv2.compare(ink_map, _STRONGER * printed, cv2.CMP_GT)
    return cv2.countNonZero(pen) > 0.003 * ink_map.size and masked_mean(ink_map, pen) > 2 * printed


def _lines(ink_map: np.ndarray, least: float, thickness: int) -> tuple[np.ndarray, int, int] | None:
    """Level lines in a map.

    Returns:
        uint8 (h, w), the strength of the line where there is one, else 0; their number and their length.
    """
    height, width = ink_map.shape
    if height < 3 * thickness or width < 8:
        return None
    # what is left after an opening across the line is thicker than a line can be
    thick = cv2.morphologyEx(ink_map, cv2.MORPH_OPEN, np.ones((thickness + 1, 1), np.uint8))
    thin = cv2.subtract(ink_map, thick)
    # a tilted line is a staircase: widened by a pixel it stays in its row long enough
    window = max(5, round(_WINDOW * width))
    mean = cv2.blur(cv2.dilate(thin, np.ones((3, 1), np.uint8)), (window, 1), borderType=cv2.BORDER_REPLICATE)
    seen = cv2.compare(mean, least, cv2.CMP_GT)
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(seen, 8, cv2.CV_32S, cv2.CCL_GRANA)
    reach = max(1, round(_REACH * width))
    left, span = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_WIDTH]
    spanning = (left <= reach) & (left + span >= width - reach)
    spanning[0] = False
    if not spanning.any():
        return None
    strength = np.zeros_like(ink_map)
    rows = np.arange(height)[:, None]
    columns = np.linspace(-1, 1, width)
    powers = np.stack([np.ones_like(columns), columns, columns * columns])
    count = 0
    for label in np.flatnonzero(spanning):
        top = stats[label, cv2.CC_STAT_TOP]
        band = slice(top, top + stats[label, cv2.CC_STAT_HEIGHT])
        own = np.where(labels[band] == label, mean[band], 0).astype(np.int16)
        course = _course(own.argmax(axis=0) + top, height, powers)
        if course is None:
            continue
        along = mean[np.clip(np.rint(course), 0, height - 1).astype(int), np.arange(width)]
        along = np.minimum(along, _CAP * _median(along))
        # its thickness where no stroke crosses it; the widening above has added a pixel on either side
        wide = np.count_nonzero(2 * own > own.max(axis=0), axis=0)
        reach = min(thickness, _median(wide) - 2) / 2 + _FRINGE
        close = slice(max(0, int(course.min() - reach)), int(course.max() + reach) + 2)
        near = np.abs(rows[close] - course) <= reach
        strength[close] = np.maximum(strength[close], np.where(near, np.maximum(along, 1), 0).astype(np.uint8))
        count += 1
    return (strength, count, width) if count else None


def _course(rows: np.ndarray, height: int, powers: np.ndarray) -> np.ndarray | None:
    """The course of one line: where it lies in each column, a slightly bent curve through where the map is
    strongest.

    Args:
        rows: int (width,), in each column the row where the map is strongest; strokes of the pen lead it
            astray here and there.
        height: of the map.
        powers: float (3, width), 1, x and x squared of each column, x from -1 to 1.

    Returns:
        float (width,); None when the rows do not follow any line.
    """
    tolerance = max(1.5, 0.01 * len(rows))
    inside = np.abs(rows - _median(rows)) <= max(2 * tolerance, 0.03 * height)
    for terms in (2, 3):
        if np.count_nonzero(inside) < 0.5 * len(rows):
            return None
        weighted = powers[:terms] * inside
        course = np.linalg.solve(weighted @ powers[:terms].T, weighted @ rows) @ powers[:terms]
        inside = np.abs(rows - course) <= tolerance
    return course if np.count_nonzero(inside) >= 0.5 * len(rows) else None


def _median(values: np.ndarray) -> float:
    """NumPy's own costs ten times as much on a few hundred values, and every line needs three."""
    ordered = np.sort(values)
    return (float(ordered[(len(ordered) - 1) // 2]) + float(ordered[len(ordered) // 2])) / 2
