"""Foreground segmentation: threshold, connected components, feature extraction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from ml.preprocessing.masked import masked_mean, masked_std

BBox = tuple[int, int, int, int]

# Minimum contrast between ink and paper, in steps of 255.
_MIN_CONTRAST = 8
# Minimum signal-to-noise ratio of ink over background.
_MIN_SNR = 3.0
# The minimum where there is little ink. One noise pixel in 30,000 exceeds it, so a larger number of pixels is ink.
_MIN_SNR_LITTLE_INK = 4.0
# Ink at least this strong, as a share of full ink, belongs to a stroke that has full ink elsewhere.
_FAINT = 0.2
# A component with less than this share of the largest component's area is a speck, not a part of a digit.
_MIN_AREA_SHARE = 0.02
# An image with more components than this is texture; only the largest ones are examined.
_MAX_COMPONENTS = 40
# Maximum gap between parts of one digit (the bar of a 5, the second stroke of a 4), as a share of its size …
_MAX_PART_GAP = 0.25
# … and the maximum gap between two parts side by side that each could be a digit.
_MAX_DIGIT_GAP = 0.1
# A component next to the digit with at least this share of its height counts as another digit.
_MIN_DIGIT_HEIGHT = 0.55
# A greater ratio of width to height means several joined digits or letters.
_MAX_ASPECT = 1.9
# Strokes wider than this share of the long side of the ink make a dot or a filled shape.
_MAX_STROKE_SHARE = 0.33
_STEPS = np.arange(256.0)
_3X3 = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Segmentation:
    """One digit segmented from an ink map.

    Attributes:
        ink_map: the ink map, uint8 (h, w).
        faint: the threshold it was segmented with, as a share of full ink.
        mask: uint8 (h, w), 255 for all ink, that of unselected components included.
        alpha: uint8 (h, w), ink coverage of each pixel: 0 is paper, 255 is full; selected components only.
        bbox: left, top, width, height of the full ink, in pixels.
        stroke: mean width of the strokes in pixels.
        features: see `ml.preprocessing.normalization.Prepared`.
        outline: the outer contour of all ink, as OpenCV's, if the ink has one only; else None.
        ruled_map: the ink map before ruled lines were removed; None if none were.
    """

    ink_map: np.ndarray
    faint: float
    mask: np.ndarray
    alpha: np.ndarray
    bbox: BBox
    stroke: float
    features: dict[str, float | int | bool]
    outline: np.ndarray | None = None
    ruled_map: np.ndarray | None = None

    def with_features(self, **changes: float | int | bool) -> Segmentation:
        """Return a copy with some features replaced."""
        return replace(self, features=self.features | changes)


class ThresholdedInk(NamedTuple):
    """An ink map separated into ink and paper.

    Attributes:
        level: strength of full ink, in steps of 255.
        noise: standard deviation of the paper, in the same steps.
        threshold: strength above which a pixel is ink.
        mask: uint8 (h, w), 255 for all ink, faint ink included.
        core: uint8 (h, w), 255 for ink of at least half of the full strength.
    """

    level: float
    noise: float
    threshold: float
    mask: np.ndarray
    core: np.ndarray


def segment(ink_map: np.ndarray, *, faint: float = _FAINT) -> Segmentation | None:
    """Find the ink of one digit in an ink map.

    Args:
        ink_map: uint8 (h, w), 0 is paper.
        faint: share of full ink above which a pixel belongs to the stroke it is connected with.

    Returns:
        The segmentation; None if nothing stands out from the paper.
    """
    ink = threshold_ink(ink_map, faint)
    if ink is None:
        return None
    level, noise, threshold, mask, core = ink
    selection = _select_components(mask, core)
    if selection is None:
        return None
    region, (left, top, right, bottom), features, outline = selection
    core = cv2.bitwise_and(core, region)
    x, y, width, height = cv2.boundingRect(core)
    stroke = estimate_stroke_width(core[y : y + height, x : x + width])
    relative = stroke / max(width, height)
    # No digit is this wide. A dash is, but it fills its bounding box.
    is_wide = features["aspect"] > _MAX_ASPECT and features["fill"] < 0.45
    features |= {
        "quick": False,
        "doubtful": False,
        "several": features["large"] > 1 or is_wide,
        "dot": relative > _MAX_STROKE_SHARE and 0.4 < features["aspect"] < 2.5,
        "lines": 0,
        "contrast": round(level, 1),
        "noise": round(noise, 2),
        "stroke": round(relative, 4),
        "halo": round(1 - cv2.countNonZero(core) / cv2.countNonZero(region), 4),
    }
    alpha = np.zeros_like(ink_map)
    window = slice(top, bottom), slice(left, right)
    alpha[window] = cv2.bitwise_and(cv2.LUT(ink_map[window], build_alpha_table(threshold, level)), region[window])
    return Segmentation(ink_map, faint, mask, alpha, (x, y, width, height), stroke, features, outline)


def threshold_ink(ink_map: np.ndarray, faint: float) -> ThresholdedInk | None:
    """Separate ink from paper; None if nothing stands out from the paper.

    Args:
        ink_map: uint8 (h, w), 0 is paper.
        faint: share of full ink above which a pixel counts.
    """
    estimate = _estimate_level_and_noise(ink_map)
    if estimate is None:
        return None
    level, noise = estimate
    threshold = max(faint * level, _MIN_SNR * noise)
    mask = cv2.threshold(ink_map, threshold, 255, cv2.THRESH_BINARY)[1]
    core = cv2.bitwise_and(mask, cv2.threshold(ink_map, 0.5 * level, 255, cv2.THRESH_BINARY)[1])
    return ThresholdedInk(level, noise, threshold, mask, core)


def _estimate_level_and_noise(ink_map: np.ndarray) -> tuple[float, float] | None:
    """Return the strength of full ink and the noise of the paper, in steps of 255; None if nothing stands out."""
    above = cv2.threshold(ink_map, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
    level = masked_mean(ink_map, above)
    if level < 1:
        return None
    noise = masked_std(ink_map, cv2.bitwise_not(above))
    if level >= max(_MIN_CONTRAST, _MIN_SNR * noise):
        return level, noise
    # Otsu's threshold splits the noise itself when there is little ink. An ink map holds one side of the noise, so
    # one standard deviation lies at the 84th percentile.
    noise = max(0.5, float(np.partition(ink_map, int(0.84 * ink_map.size), axis=None)[int(0.84 * ink_map.size)]))
    threshold = max(0.7 * _MIN_CONTRAST, _MIN_SNR_LITTLE_INK * noise)
    above = cv2.threshold(ink_map, threshold, 255, cv2.THRESH_BINARY)[1]
    level = masked_mean(ink_map, above)
    # Fewer pixels than a short stroke has are no digit.
    is_enough = level >= _MIN_CONTRAST and cv2.countNonZero(above) >= 0.3 * max(ink_map.shape)
    return (level, noise) if is_enough else None


def build_alpha_table(threshold: float, level: float) -> np.ndarray:
    """Build the look-up table from difference to ink coverage, uint8 (256,).

    It is linear, as an anti-aliased edge is, and starts at half of the threshold.
    """
    low, high = 0.5 * threshold, 0.95 * level
    steps = (_STEPS - low) * 255 / max(1.0, high - low)
    return np.minimum(np.maximum(steps, 0), 255).astype(np.uint8)


def estimate_stroke_width(mask: np.ndarray) -> float:
    """Return the mean stroke width in pixels.

    A line of width w has an area of w / 2 pixels for each pixel of its two outlines.
    """
    inner = cv2.erode(mask, _3X3, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    area = cv2.countNonZero(mask)
    return 2.0 * area / max(1, area - cv2.countNonZero(inner))


def _select_components(
    mask: np.ndarray, core: np.ndarray
) -> tuple[np.ndarray, BBox, dict[str, float | int | bool], np.ndarray | None] | None:
    """Select the connected components that make up the digit.

    Args:
        mask: uint8 (h, w), 255 for all ink, faint ink included.
        core: uint8 (h, w), 255 for full ink. A component without full ink is a stain.

    Returns:
        The selected region as a mask; its left, top, right and bottom; features; the outer contour if there is one
        only. None if there is no ink.
    """
    if cv2.countNonZero(core) == 0:
        return None
    x, y, span, rise = cv2.boundingRect(mask)
    # Most drawings have one component. Finding contours detects that ten times faster than labelling every pixel.
    contours, _ = cv2.findContours(mask[y : y + rise, x : x + span], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if len(contours) == 1:
        bounds = (x, y, x + span, y + rise)
        return mask, bounds, _measure_region(mask, bounds), contours[0]
    height, width = mask.shape
    # On images of this size the Grana algorithm is three times as fast as OpenCV's default.
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, cv2.CV_32S, cv2.CCL_GRANA)
    has_core = np.bincount(labels[core > 0], minlength=len(stats)) > 0
    areas = np.where(has_core, stats[:, cv2.CC_STAT_AREA], 0)
    areas[0] = 0  # the paper
    order = np.argsort(-areas, kind="stable")[:_MAX_COMPONENTS]
    order = order[areas[order] >= max(1.0, _MIN_AREA_SHARE * areas[order[0]])]
    left, top, wide, high = stats[order, :4].T
    right, bottom = left + wide, top + high
    touching = (left == 0) | (top == 0) | (right == width) | (bottom == height)
    # The digit is large and central. A component at the edge is more likely a neighbour, a line or a shadow.
    offset = np.hypot((left + right) / width - 1, (top + bottom) / height - 1)
    weight = areas[order] * (1.2 - 0.5 * np.minimum(offset, 1.4)) * np.where(touching, 0.3, 1.0)
    selected, box = _merge_parts(int(np.argmax(weight)), np.stack([left, top, right, bottom], axis=1), touching)
    beside = (left >= box[2]) | (right <= box[0])
    other_digits = ~selected & beside & (high >= _MIN_DIGIT_HEIGHT * (box[3] - box[1])) & ~touching
    large = max(1, _count_side_by_side(left, right, selected & (high >= 0.8 * (box[3] - box[1]))))
    large += int(other_digits.sum())
    lookup = np.zeros(len(stats), np.uint8)
    lookup[order[selected]] = 255
    cut_off = int(areas[order[~selected & touching]].sum())
    stray = int(areas.sum()) - int(areas[order[selected]].sum()) - cut_off
    region = lookup[labels]
    features = _measure_region(region, box, parts=int(selected.sum()), large=large, stray=stray, cut_off=cut_off)
    return region, box, features, None


def _measure_region(
    region: np.ndarray, box: BBox, *, parts: int = 1, large: int = 1, stray: int = 0, cut_off: int = 0
) -> dict[str, float | int | bool]:
    """Measure the features of the selected region.

    Args:
        region: uint8 (h, w), 255 for selected ink.
        box: its left, top, right and bottom.
        parts: number of selected components.
        large: number of components of a digit's height, side by side.
        stray: ignored ink inside the image, in pixels.
        cut_off: ignored ink that touches the edge of the image, in pixels.
    """
    area = cv2.countNonZero(region)
    width, height = int(box[2] - box[0]), int(box[3] - box[1])
    on_edge = int(sum(map(np.count_nonzero, (region[0], region[-1], region[:, 0], region[:, -1]))))
    return {
        "parts": parts,
        "large": large,
        "speckle": round(stray / (stray + area), 4),
        "neighbours": round(cut_off / (cut_off + area), 4),
        "edge": round(on_edge / (2 * sum(region.shape)), 4),
        "coverage": round(area / region.size, 4),
        "fill": round(area / (width * height), 4),
        "aspect": round(width / height, 3),
    }


def _count_side_by_side(left: np.ndarray, right: np.ndarray, tall: np.ndarray) -> int:
    """Count the tall components that stand apart.

    The horizontal extents of two strokes of one digit overlap; those of two digits hardly do.
    """
    count, reached = 0, -1.0
    for i in sorted(np.flatnonzero(tall), key=lambda i: left[i]):
        if left[i] >= reached:
            count += 1
        reached = max(reached, right[i] - 0.1 * (right[i] - left[i]))
    return count


def _merge_parts(main: int, boxes: np.ndarray, touching: np.ndarray) -> tuple[np.ndarray, BBox]:
    """Add nearby parts of the same digit to the main component, until none is left.

    Args:
        main: index of the main component.
        boxes: int (n, 4), left, top, right, bottom of each component.
        touching: bool (n,), whether a component touches the edge of the image.

    Returns:
        The selected components, bool (n,), and the left, top, right and bottom of all of them.
    """
    selected = np.zeros(len(boxes), bool)
    selected[main] = True
    box: BBox = tuple(boxes[main].tolist())
    candidates = [i for i in range(len(boxes)) if i != main and (touching[main] or not touching[i])]
    has_grown = True
    while has_grown:
        has_grown = False
        size = max(box[2] - box[0], box[3] - box[1])
        for i in candidates:
            left, top, right, bottom = boxes[i].tolist()
            gap_x, gap_y = max(left - box[2], box[0] - right, 0), max(top - box[3], box[1] - bottom, 0)
            beside = gap_x > 0 and bottom - top >= _MIN_DIGIT_HEIGHT * (box[3] - box[1])
            near = np.hypot(gap_x, gap_y) <= (_MAX_DIGIT_GAP if beside else _MAX_PART_GAP) * size
            if selected[i] or not near or _is_full_stop((left, top, right, bottom), box):
                continue
            selected[i] = has_grown = True
            box = (min(box[0], left), min(box[1], top), max(box[2], right), max(box[3], bottom))
    return selected, box


def _is_full_stop(part: BBox, box: BBox) -> bool:
    """Return whether a part is a full stop: a small compact blob next to the foot of the digit.

    Both boxes are left, top, right, bottom.
    """
    wide, high = part[2] - part[0], part[3] - part[1]
    size = max(box[2] - box[0], box[3] - box[1])
    is_compact = max(wide, high) <= 0.25 * size and max(wide, high) <= 2 * min(wide, high)
    is_beside = part[0] + wide / 4 >= box[2] or part[2] - wide / 4 <= box[0]
    is_low = part[1] >= box[1] + 0.6 * (box[3] - box[1])
    return is_compact and is_beside and is_low
