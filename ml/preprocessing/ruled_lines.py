"""Removal of ruled and squared lines from an ink map, keeping the strokes that cross them.

A line that remains connects the digit with both edges of the image.
"""

from __future__ import annotations

import cv2
import numpy as np

from ml.preprocessing.masked import masked_mean, masked_std
from ml.preprocessing.scalar_ops import mask_above, multiply

# Maximum thickness of a printed line, as a share of the short side of the image.
_MAX_THICKNESS = 0.04
# Length of the average along a line, as a share of the width: it lifts a pale or broken line out of the noise.
_WINDOW = 0.2
# Maximum distance between a line and the edges of the image, as a share of the width.
_MAX_EDGE_GAP = 0.06
# Minimum strength of a line in steps of 255; weaker lines do not count as ink in any case.
_MIN_STRENGTH = 7.0
# The strength along a line is limited to this factor of its median: above it, the average contains ink of the pen.
_MAX_RELATIVE_STRENGTH = 1.3
# Width of a line's blurred edge in pixels. With less, a hairline remains that connects to faint ink.
_FRINGE = 1.5
# Ink this many times stronger than the line it crosses belongs to the pen.
_PEN_FACTOR = 1.6


def remove_ruled_lines(ink_map: np.ndarray) -> tuple[np.ndarray, int]:
    """Remove horizontal and vertical printed lines from an ink map.

    Args:
        ink_map: uint8 (h, w), 0 is paper.

    Returns:
        The map without lines (the same array if it has none) and the number of lines.
    """
    above = cv2.threshold(ink_map, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
    threshold = max(_MIN_STRENGTH, 0.15 * masked_mean(ink_map, above), masked_std(ink_map, cv2.bitwise_not(above)))
    thickness = max(2, round(_MAX_THICKNESS * min(ink_map.shape)))
    horizontal = _find_horizontal_lines(ink_map, threshold, thickness)
    vertical = _find_horizontal_lines(np.ascontiguousarray(ink_map.T), threshold, thickness)
    results = [horizontal] if horizontal is not None else []
    if vertical is not None:
        results.append((np.ascontiguousarray(vertical[0].T), *vertical[1:]))
    if not results:
        return ink_map, 0
    strength = results[0][0] if len(results) == 1 else cv2.max(results[0][0], results[1][0])
    line = mask_above(strength, 0)
    printed = float(np.median(strength[line > 0]))
    if _is_pen_stronger(ink_map, printed):
        # Then everything as weak as the lines can be removed, including lines that were not found.
        threshold = 1.25 * printed
        ink_map = cv2.threshold(ink_map, threshold, 255, cv2.THRESH_TOZERO)[1]
    rest = cv2.bitwise_and(mask_above(ink_map, threshold), cv2.bitwise_not(line))
    inked = cv2.countNonZero(cv2.bitwise_and(cv2.compare(multiply(ink_map, 2), strength, cv2.CMP_GT), line))
    gap = round(inked / sum(count * length for _, count, length in results)) + 4
    bridge = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap, gap))
    pen = cv2.morphologyEx(rest, cv2.MORPH_CLOSE, bridge)
    pen = cv2.bitwise_or(pen, cv2.compare(ink_map, multiply(strength, _PEN_FACTOR), cv2.CMP_GT))
    cleaned = ink_map.copy()
    cleaned[cv2.bitwise_and(line, cv2.bitwise_not(pen)) > 0] = 0
    return cleaned, sum(count for _, count, _ in results)


def _is_pen_stronger(ink_map: np.ndarray, printed: float) -> bool:
    """Return whether more than a few noise pixels are at least twice as strong as the printed lines."""
    pen = mask_above(ink_map, _PEN_FACTOR * printed)
    return cv2.countNonZero(pen) > 0.003 * ink_map.size and masked_mean(ink_map, pen) > 2 * printed


def _find_horizontal_lines(ink_map: np.ndarray, threshold: float, thickness: int) -> tuple[np.ndarray, int, int] | None:
    """Find the horizontal lines in an ink map.

    Args:
        ink_map: uint8 (h, w), 0 is paper.
        threshold: minimum strength of a line.
        thickness: maximum thickness of a line in pixels.

    Returns:
        The strength of the line at each pixel, uint8 (h, w), 0 outside of lines; the number of lines; their length in
        pixels. None if there are no lines.
    """
    height, width = ink_map.shape
    if height < 3 * thickness or width < 8:
        return None
    # Ink that remains after an opening across the line is thicker than a line can be.
    thick = cv2.morphologyEx(ink_map, cv2.MORPH_OPEN, np.ones((thickness + 1, 1), np.uint8))
    thin = cv2.subtract(ink_map, thick)
    # A tilted line is a staircase: widened by a pixel, it stays in one row long enough.
    window = max(5, round(_WINDOW * width))
    mean = cv2.blur(cv2.dilate(thin, np.ones((3, 1), np.uint8)), (window, 1), borderType=cv2.BORDER_REPLICATE)
    candidates = mask_above(mean, threshold)
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(candidates, 8, cv2.CV_32S, cv2.CCL_GRANA)
    edge_gap = max(1, round(_MAX_EDGE_GAP * width))
    left, span = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_WIDTH]
    spanning = (left <= edge_gap) & (left + span >= width - edge_gap)
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
        course = _fit_course(own.argmax(axis=0) + top, height, powers)
        if course is None:
            continue
        profile = mean[np.clip(np.rint(course), 0, height - 1).astype(int), np.arange(width)]
        profile = np.minimum(profile, _MAX_RELATIVE_STRENGTH * _median(profile))
        # The thickness where no stroke crosses the line. The dilation above has added a pixel on either side.
        wide = np.count_nonzero(2 * own > own.max(axis=0), axis=0)
        reach = min(thickness, _median(wide) - 2) / 2 + _FRINGE
        close = slice(max(0, int(course.min() - reach)), int(course.max() + reach) + 2)
        near = np.abs(rows[close] - course) <= reach
        strength[close] = np.maximum(strength[close], np.where(near, np.maximum(profile, 1), 0).astype(np.uint8))
        count += 1
    return (strength, count, width) if count else None


def _fit_course(rows: np.ndarray, height: int, powers: np.ndarray) -> np.ndarray | None:
    """Fit the course of one line: a slightly bent curve through the rows where the map is strongest.

    Args:
        rows: int (width,), in each column the row where the map is strongest; crossing strokes cause outliers.
        height: height of the map.
        powers: float (3, width), 1, x and x squared of each column, x from -1 to 1.

    Returns:
        The row in each column, float (width,); None if the rows do not follow a line.
    """
    tolerance = max(1.5, 0.01 * len(rows))
    inliers = np.abs(rows - _median(rows)) <= max(2 * tolerance, 0.03 * height)
    for terms in (2, 3):
        if np.count_nonzero(inliers) < 0.5 * len(rows):
            return None
        weighted = powers[:terms] * inliers
        course = np.linalg.solve(weighted @ powers[:terms].T, weighted @ rows) @ powers[:terms]
        inliers = np.abs(rows - course) <= tolerance
    return course if np.count_nonzero(inliers) >= 0.5 * len(rows) else None


def _median(values: np.ndarray) -> float:
    """Return the median; `numpy.median` takes ten times as long on a few hundred values."""
    ordered = np.sort(values)
    return (float(ordered[(len(ordered) - 1) // 2]) + float(ordered[len(ordered) // 2])) / 2
