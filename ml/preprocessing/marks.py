"""Detection of marks that surround or underline a digit: boxes, table cells, circles, underlines."""

from __future__ import annotations

import cv2
import numpy as np

# Only the largest components are examined, so the cost is bounded.
_MAX_COMPONENTS = 40
# A component that covers more than this share of its bounding box is no frame.
_MAX_FRAME_FILL = 0.45
# A frame contains another component with at least this share of its width or height.
_MIN_CONTENT = 0.25
# The middle of that component lies at most this share of the frame's width and height from the middle of the frame.
_MAX_OFFSET = 0.3
# At most this share of a frame's ink lies deeper in its convex hull than this share of its short side.
_MAX_INNER_SHARE, _MAX_FRAME_DEPTH = 0.1, 0.2
# A frame that touches the digit is recognized only if it is nearly convex and not narrow, as a 0 is, …
_MIN_ATTACHED_SOLIDITY, _MIN_ATTACHED_ASPECT = 0.93, 0.72
# … with at least this share of all ink, …
_MIN_MAIN_SHARE = 0.8
# … and what it contains reaches over this share of its width or height and lies, in the median, at this share of the
# largest distance from the outline.
_MIN_ATTACHED_CONTENT, _MIN_ATTACHED_DEPTH = 0.4, 0.4
# Ink belongs to such a frame as far as it covers this share of the pixels at its distance from the outline …
_MIN_FRAME_COVER = 0.6
# … which is at most this share of the short side.
_MAX_FRAME_THICKNESS = 0.15
# Minimum ratio of width to height of an underline.
_MIN_UNDERLINE_ASPECT = 2.2
# Minimum width of an underline, as a share of the width of the ink above it.
_MIN_UNDERLINE_WIDTH = 0.5
# An underline begins below this share of the height of the ink above it.
_MIN_UNDERLINE_TOP = 0.85
_3X3 = np.ones((3, 3), np.uint8)


def find_marks(mask: np.ndarray, *, outline: np.ndarray | None = None) -> np.ndarray | None:
    """Find frames, circles and underlines.

    Args:
        mask: uint8 (h, w), 255 for ink, with at least one pixel of ink.
        outline: the outer contour of the ink, as OpenCV's, if there is only one.

    Returns:
        A mask that is 255 on the marks and next to them; None if there are none, or nothing else.
    """
    # Most drawings are one component that is clearly no frame; labelling its pixels would take longer than the rest.
    if outline is not None and not _may_be_attached_frame(outline) and _is_one_component(mask):
        return None
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, cv2.CV_32S, cv2.CCL_GRANA)
    # Component 0 is the paper.
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:_MAX_COMPONENTS]
    left, top, width, height, area = stats[order].T
    is_frame = _contain_others(left, top, width, height) & (area <= _MAX_FRAME_FILL * width * height)
    for index in np.flatnonzero(is_frame):
        is_frame[index] = _surrounds(_crop_component(labels, stats, order[index]))
    is_mark = np.asarray(is_frame | _are_underlines(left, top, width, height, ~is_frame))
    if is_mark.all():
        return None
    if is_mark.any():
        lookup = np.zeros(len(stats), np.uint8)
        lookup[order[is_mark]] = 255
        return cv2.dilate(lookup[labels], _3X3)
    if area[0] < _MIN_MAIN_SHARE * area.sum():  # else its content would be read, and the rest not
        return None
    frame = _find_attached_frame(_crop_component(labels, stats, order[0]))
    if frame is None:
        return None
    marks = np.zeros_like(mask)
    marks[top[0] : top[0] + height[0], left[0] : left[0] + width[0]] = frame
    return marks


def _contain_others(left: np.ndarray, top: np.ndarray, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return for each bounding box whether it contains another one of some size near its middle, bool (n,)."""
    is_content = ~np.eye(len(left), dtype=bool)
    is_large = np.zeros_like(is_content)
    for start, length in ((left, width), (top, height)):
        own_start, own_length = start[:, None], length[:, None]
        is_content &= (own_start <= start) & (own_start + own_length >= start + length)
        is_content &= np.abs(start + length / 2 - own_start - own_length / 2) <= _MAX_OFFSET * own_length
        is_large |= length >= _MIN_CONTENT * own_length
    return np.asarray((is_content & is_large).any(axis=1))


def _are_underlines(
    left: np.ndarray, top: np.ndarray, width: np.ndarray, height: np.ndarray, is_candidate: np.ndarray
) -> np.ndarray:
    """Return for each component whether it is flat and lies at the foot of the others, bool (n,)."""
    is_flat = is_candidate & (width >= _MIN_UNDERLINE_ASPECT * height)
    rest = is_candidate & ~is_flat
    if not rest.any():
        return np.zeros_like(is_flat)
    first, last = left[rest].min(), (left + width)[rest].max()
    highest, lowest = top[rest].min(), (top + height)[rest].max()
    is_below = top >= highest + _MIN_UNDERLINE_TOP * (lowest - highest)
    overlaps = (left < last) & (left + width > first)
    is_wide = width >= _MIN_UNDERLINE_WIDTH * (last - first)
    mask: np.ndarray = is_flat & is_below & overlaps & is_wide
    return mask


def _crop_component(labels: np.ndarray, stats: np.ndarray, label: int) -> np.ndarray:
    """Return the mask of one component, cropped to its bounding box, uint8 (h, w) of 0 and 255."""
    left, top, width, height = stats[label, :4]
    return np.where(labels[top : top + height, left : left + width] == label, 255, 0).astype(np.uint8)


def _surrounds(component: np.ndarray) -> bool:
    """Return whether nearly all ink of a component lies along its convex hull: no rays, and no digit attached to it."""
    depth, _ = _measure_depth(component, hull=True)
    limit = _MAX_FRAME_DEPTH * min(component.shape)
    ink = component > 0
    return bool(np.count_nonzero(ink & (depth > limit)) <= _MAX_INNER_SHARE * np.count_nonzero(ink))


def _measure_depth(component: np.ndarray, *, hull: bool) -> tuple[np.ndarray, float]:
    """Measure how far the pixels of a component lie inside of its outline.

    Args:
        component: uint8 (h, w), 255 for the ink of one component, cropped to it.
        hull: use the convex hull instead of the outline.

    Returns:
        The distance of each pixel from the outline in pixels, float32 (h, w), 0 outside; and the area within the
        outline as a share of its convex hull.
    """
    contours, _ = cv2.findContours(component, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    convex = cv2.convexHull(contours[0])
    solidity = cv2.contourArea(contours[0]) / max(1.0, cv2.contourArea(convex))
    height, width = component.shape
    enclosed = np.zeros((height + 2, width + 2), np.uint8)
    cv2.drawContours(enclosed, [convex if hull else contours[0]], -1, 255, cv2.FILLED, offset=(1, 1))
    return cv2.distanceTransform(enclosed, cv2.DIST_L2, cv2.DIST_MASK_3)[1:-1, 1:-1], solidity


def _may_be_attached_frame(outline: np.ndarray) -> bool:
    """Return whether the shape within an outer contour is nearly convex and not narrow."""
    _, _, width, height = cv2.boundingRect(outline)
    if min(width, height) < _MIN_ATTACHED_ASPECT * max(width, height):
        return False
    convex = max(1.0, cv2.contourArea(cv2.convexHull(outline)))
    return cv2.contourArea(outline) >= _MIN_ATTACHED_SOLIDITY * convex


def _is_one_component(mask: np.ndarray) -> bool:
    """Return whether the ink is one component, with nothing in its holes."""
    left, top, width, height = cv2.boundingRect(mask)
    # Two levels: the outer contours of all components, and their holes.
    _, hierarchy = cv2.findContours(
        mask[top : top + height, left : left + width], cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    return bool(np.count_nonzero(hierarchy[0, :, 3] < 0) == 1)


def _find_attached_frame(component: np.ndarray) -> np.ndarray | None:
    """Find a frame or circle that touches the digit in it: the ink along the outline of the component.

    Args:
        component: uint8 (h, w), 255 for the ink of one component, cropped to it.

    Returns:
        A mask of the same shape that is 255 on the frame; None if there is none, or too little in it.
    """
    height, width = component.shape
    if min(width, height) < _MIN_ATTACHED_ASPECT * max(width, height):
        return None
    depth, solidity = _measure_depth(component, hull=False)
    if solidity < _MIN_ATTACHED_SOLIDITY:
        return None
    # The share of ink at each whole distance from the outline. Distance 0 lies outside.
    steps = depth.astype(np.intp).ravel()
    cover = np.bincount(steps, weights=component.ravel() / 255) / np.maximum(1, np.bincount(steps))
    is_thin = np.append(cover[1:] < _MIN_FRAME_COVER, True)
    thickness = int(is_thin.argmax())
    if not 1 <= thickness <= _MAX_FRAME_THICKNESS * min(width, height):
        return None
    band = (depth > 0) & (depth < thickness + 2)
    content = np.where(band, 0, component).astype(np.uint8)
    _, _, content_width, content_height = cv2.boundingRect(content)
    if max(content_width / width, content_height / height) < _MIN_ATTACHED_CONTENT:
        return None
    if np.median(depth[content > 0]) < _MIN_ATTACHED_DEPTH * depth.max():
        return None
    return np.where(band, component, 0).astype(np.uint8)
