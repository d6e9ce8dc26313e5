"""Filling of digits that are drawn as outlines."""

from __future__ import annotations

import cv2
import numpy as np

from ml.preprocessing.scalar_ops import mask_above

# Lines wider than this share of the long side of the ink are strokes, not an outline.
_MAX_LINE = 0.12
# Minimum area of the filled digit, as a multiple of the area of the outline.
_MIN_GAIN = 1.6
# Maximum width of the filled strokes at their widest, as a share of the long side: wider is the hole of a digit.
_MAX_FILLED_STROKE = 0.6
# At most this share of the ink does not lie along the edge of the filled area.
_MAX_STRAY = 0.08
# Maximum width of a line that ends outside of that area, in mean widths: a line varies.
_TAIL_WIDTH = 1.5
# An image with more contours is texture.
_MAX_CONTOURS = 100


def fill_outlines(alpha: np.ndarray, stroke: float) -> np.ndarray | None:
    """Fill the area between the outer and the inner outlines of a digit.

    Contours alternate between the two edges of the lines: of the nesting depths 0 to 3, 0 is the outer edge of the
    outer outline, 1 its inner edge, 2 the outer edge of an outline around a hole, and 3 the hole.

    Args:
        alpha: uint8 (h, w), ink coverage.
        stroke: width of the lines in pixels.

    Returns:
        The filled ink coverage; None unless the lines are thin and enclose a sufficient area that is no hole.
    """
    x, y, width, height = cv2.boundingRect(alpha)
    size = max(width, height)
    if stroke > _MAX_LINE * size:
        return None
    ink = cv2.threshold(alpha[y : y + height, x : x + width], 127, 255, cv2.THRESH_BINARY)[1]
    contours, hierarchy = cv2.findContours(ink, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not 2 <= len(contours) <= _MAX_CONTOURS:
        return None
    depths: list[int] = []
    for row in hierarchy[0]:  # a parent comes before its children
        depths.append(0 if row[3] < 0 else depths[row[3]] + 1)
    filled = np.zeros((height + 2, width + 2), np.uint8)
    for depth in range(max(depths) + 1):
        level = [contour for contour, own in zip(contours, depths, strict=True) if own == depth]
        cv2.drawContours(filled, level, -1, 0 if depth % 4 == 3 else 255, cv2.FILLED, offset=(1, 1))
    if cv2.countNonZero(filled) < _MIN_GAIN * cv2.countNonZero(ink) or not _is_outline(ink, filled, stroke):
        return None
    result = alpha.copy()
    window = result[y : y + height, x : x + width]
    np.maximum(window, filled[1:-1, 1:-1], out=window)
    return result


def _is_outline(ink: np.ndarray, filled: np.ndarray, stroke: float) -> bool:
    """Return whether nearly all ink lies along the edge of the filled area, and that area is no hole of a digit.

    Args:
        ink: uint8 (h, w), 255 for ink.
        filled: uint8 (h + 2, w + 2), 255 for ink and the area within, with a margin of one pixel.
        stroke: width of the lines in pixels.
    """
    depth = cv2.distanceTransform(filled, cv2.DIST_L2, cv2.DIST_MASK_3)
    if 2 * depth.max() > _MAX_FILLED_STROKE * max(ink.shape):
        return False
    # Lines that end outside of the area, as the tail of a 6 does, vanish in an opening; a bar within it is deep. The
    # opening is one by a disc of this radius, as two distance transforms: several times faster than `morphologyEx`.
    radius = _TAIL_WIDTH * stroke / 2
    core = mask_above(depth, radius)
    if not core.any():
        return False
    is_body = cv2.distanceTransform(cv2.bitwise_not(core), cv2.DIST_L2, cv2.DIST_MASK_3) <= radius
    is_edge = is_body & (depth <= 2 * stroke)
    stray = cv2.countNonZero(np.where(is_edge[1:-1, 1:-1], 0, ink).astype(np.uint8))
    return stray <= _MAX_STRAY * cv2.countNonZero(ink)
