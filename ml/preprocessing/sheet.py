"""Detection of a sheet of paper in a photo of a desk, and removal of its perspective."""

from __future__ import annotations

import cv2
import numpy as np

from ml.preprocessing.background import subtract_flat_background
from ml.preprocessing.scalar_ops import mask_above
from ml.preprocessing.search import reduce

# Long side, in pixels, of the reduced image in which the sheet is searched.
_SEARCH_SIDE = 128
# Images with a shorter side, in pixels, are not smoothed.
_MIN_SMOOTHED_SIDE = 64
# Minimum area of the sheet, as a share of the image.
_MIN_AREA = 0.1
# Tolerances of the quadrilateral, as shares of the outline's length.
_TOLERANCES = (0.02, 0.04, 0.07)
# Minimum area of the quadrilateral as a share of the convex hull, and of the paper as a share of the quadrilateral.
_MIN_HULL_SHARE, _MIN_COVERED = 0.85, 0.5
# Around a sheet, all but a few pixels of the border have one colour; then any other colour is the sheet.
_MIN_EVEN_BORDER, _EVEN_THRESHOLD = 0.9, 24
# Maximum side of the rectified sheet in pixels, and the share of it that is cut off along each edge.
_MAX_SIDE, _INSET = 640, 0.025


def rectify_sheet(pixels: np.ndarray) -> np.ndarray | None:
    """Find the largest quadrilateral that differs from its surroundings and return its inside.

    Args:
        pixels: uint8 (h, w) or (h, w, 3).

    Returns:
        The sheet as if seen from above, of the same dtype and channels, without its edges; None if there is none.
    """
    small = reduce(pixels, _SEARCH_SIDE)
    corners = _find_corners(small)
    if corners is None:
        return None
    corners = corners * (np.array(pixels.shape[1::-1]) / small.shape[1::-1])
    middle = corners.mean(axis=0)
    corners = middle + (corners - middle) * (1 - 2 * _INSET)
    top, right, bottom, left = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    width, height = (top + bottom) / 2, (left + right) / 2
    shrink = min(1.0, _MAX_SIDE / max(width, height))
    width, height = max(1, round(width * shrink)), max(1, round(height * shrink))
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    return cv2.warpPerspective(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def _find_corners(pixels: np.ndarray) -> np.ndarray | None:
    """Return the corners, clockwise from the top left, float64 (4, 2); None if there is no quadrilateral."""
    if min(pixels.shape[:2]) >= _MIN_SMOOTHED_SIDE:
        pixels = cv2.GaussianBlur(pixels, (3, 3), 0)
    difference, border_share = subtract_flat_background(pixels)
    otsu, mask = cv2.threshold(difference, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    corners = _fit_quadrilateral(mask)
    if corners is None and border_share > _MIN_EVEN_BORDER and otsu > _EVEN_THRESHOLD:
        # Otsu's threshold may separate the ink from a grey page instead of the page from what surrounds it.
        corners = _fit_quadrilateral(mask_above(difference, _EVEN_THRESHOLD))
    return corners


def _fit_quadrilateral(mask: np.ndarray) -> np.ndarray | None:
    """Return the corners of the largest component of a mask, float64 (4, 2); None if it is no quadrilateral."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return None
    outline = max(contours, key=cv2.contourArea)
    hull = cv2.convexHull(outline)
    hull_area = cv2.contourArea(hull)
    if hull_area < _MIN_AREA * mask.size:
        return None
    length = cv2.arcLength(hull, True)
    for tolerance in _TOLERANCES:
        polygon = cv2.approxPolyDP(hull, tolerance * length, True)
        if len(polygon) == 4:
            area = cv2.contourArea(polygon)
            if area >= _MIN_HULL_SHARE * hull_area and cv2.contourArea(outline) >= _MIN_COVERED * area:
                return _order_corners(polygon.reshape(4, 2).astype(np.float64))
    return None


def _order_corners(corners: np.ndarray) -> np.ndarray:
    """Order the corners of a convex quadrilateral clockwise from the top left."""
    middle = corners.mean(axis=0)
    angles = np.arctan2(corners[:, 1] - middle[1], corners[:, 0] - middle[0])
    ordered = corners[np.argsort(angles)]  # y points down, so this is clockwise
    return np.roll(ordered, -int(ordered.sum(axis=1).argmin()), axis=0)
