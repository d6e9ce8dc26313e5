"""Which of the pixels that differ from the paper are the digit: threshold, connected components, and the
evidence for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ml.preprocessing.masked import masked_mean, masked_std

# Less difference than this between ink and paper (of 255) is no ink.
_FAINTEST = 8
# Ink must stand out from the paper's own unrest by this factor.
_OVER_NOISE = 3.0
# Single pixels of noise reach so far once in 30,000, so more of them than that are ink.
_FAR_OVER_NOISE = 4.0
# Ink at least this strong, as a share of full ink, belongs to a stroke that holds full ink elsewhere.
_FAINT = 0.2
# A component below this share of the largest one is a speck and no part of a digit.
_SPECK = 0.02
# More components than this are texture; only the largest are looked at.
_MOST_PARTS = 40
# Parts of one digit (the bar of a 5, the second stroke of a 4) lie closer together than this share of the
# digit's size …
_PART_GAP = 0.25
# … and two parts that each could be a digit, side by side, closer than this.
_DIGIT_GAP = 0.1
# What stands beside the digit and is at least this high, as a share of it, counts as another digit.
_DIGIT_HEIGHT = 0.55
# Ink wider than this, as a share of its height, is writing: several digits or letters joined.
_WIDE = 1.9
# Strokes wider than this share of the ink's long side are none: it is a dot or a filled shape.
_DOT = 0.33
_STEPS = np.arange(256.0)
_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Segmentation:
    """One reading of a map.

    Attributes:
        ink_map: the map that was read.
        soft: uint8 (h, w), how much ink each pixel holds: 0 paper, 255 full; only the chosen parts.
        box: left, top, width, height of the chosen ink.
        stroke: mean width of the strokes in pixels.
        evidence: see `ml.preprocessing.normalization.Prepared`.
    """

    ink_map: np.ndarray
    alpha: np.ndarray
    bbox: tuple[int, int, int, int]
    stroke: float
    features: dict[str, float | int | bool]

    def with_features(self, **more: float | int | bool) -> Segmentation:
        """The same reading with some evidence set."""
        return Segmentation(self.ink_map, self.alpha, self.bbox, self.stroke, self.features | more)


def segment(ink_map: np.ndarray, *, faint: float = _FAINT) -> Segmentation | None:
    """Find the digit's ink in a map.

    Args:
        ink_map: uint8 (h, w), 0 paper.
        faint: ink at least this strong, as a share of full ink, belongs to the stroke it is connected with.

    Returns:
        None when nothing stands out from the paper.
    """
    measured = _level_and_noise(ink_map)
    if measured is None:
        return None
    level, noise = measured
    least = max(faint * level, _OVER_NOISE * noise)
    mask = cv2.threshold(ink_map, least, 255, cv2.THRESH_BINARY)[1]
    core = cv2.bitwise_and(mask, cv2.threshold(ink_map, 0.5 * level, 255, cv2.THRESH_BINARY)[1])
    chosen = _choose(mask, core)
    if chosen is None:
        return None
    region, (left, top, right, bottom), evidence = chosen
    core = cv2.bitwise_and(core, region)
    box = cv2.boundingRect(core)
    stroke = _stroke_width(core[box[1] : box[1] + box[3], box[0] : box[0] + box[2]])
    relative = stroke / max(box[2:])
    # no digit is so wide; a dash is, but it fills its box
    wide = evidence["aspect"] > _WIDE and evidence["fill"] < 0.45
    evidence |= {
        "quick": False,
        "doubtful": False,
        "several": evidence["large"] > 1 or wide,
        "dot": relative > _DOT and 0.4 < evidence["aspect"] < 2.5,
        "lines": 0,
        "contrast": round(level, 1),
        "noise": round(noise, 2),
        "stroke": round(relative, 4),
        "halo": round(1 - cv2.countNonZero(core) / cv2.countNonZero(region), 4),
    }
    soft = np.zeros_like(ink_map)
    inked = slice(top, bottom), slice(left, right)
    soft[inked] = cv2.bitwise_and(cv2.LUT(ink_map[inked], _ramp(least, level)), region[inked])
    return Segmentation(ink_map, soft, box, stroke, evidence)


def _level_and_noise(ink_map: np.ndarray) -> tuple[float, float] | None:
    """Strength of full ink and unrest of the paper, in steps of 255; None when nothing stands out."""
    above = cv2.threshold(ink_map, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
    level = masked_mean(ink_map, above)
    if level < 1:
        return None
    noise = masked_std(ink_map, cv2.bitwise_not(above))
    if level >= max(_FAINTEST, _OVER_NOISE * noise):
        return level, noise
    # Otsu's threshold halves the noise when there is little ink. A map holds one side of the noise: one
    # standard deviation lies at 84 % of its values.
    noise = max(0.5, float(np.partition(ink_map, int(0.84 * ink_map.size), axis=None)[int(0.84 * ink_map.size)]))
    least = max(0.7 * _FAINTEST, _FAR_OVER_NOISE * noise)
    above = cv2.threshold(ink_map, least, 255, cv2.THRESH_BINARY)[1]
    level = masked_mean(ink_map, above)
    # fewer pixels than a short stroke holds are no digit
    enough = level >= _FAINTEST and cv2.countNonZero(above) >= 0.3 * max(ink_map.shape)
    return (level, noise) if enough else None


def _ramp(least: float, level: float) -> np.ndarray:
    """Look-up table from difference to ink: linear, as an anti-aliased edge is, from half of what counts as
    faint."""
    low, high = 0.5 * least, 0.95 * level
    steps = (_STEPS - low) * 255 / max(1.0, high - low)
    return np.minimum(np.maximum(steps, 0), 255).astype(np.uint8)


def _stroke_width(mask: np.ndarray) -> float:
    """Mean stroke width in pixels: a line of width w has w / 2 pixels of area for each pixel of its two
    outlines."""
    inner = cv2.erode(mask, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    area = cv2.countNonZero(mask)
    return 2.0 * area / max(1, area - cv2.countNonZero(inner))


def _choose(
    mask: np.ndarray, core: np.ndarray
) -> tuple[np.ndarray, Sequence[int], dict[str, float | int | bool]] | None:
    """Choose the connected components that make up the digit.

    Args:
        mask: uint8 (h, w), 255 where there is ink, faint or not.
        core: the part of it that is surely ink: a component without any is a stain.

    Returns:
        The chosen region as a mask, its box as left, top, right, bottom, and evidence; None when there is no ink.
    """
    if cv2.countNonZero(core) == 0:
        return None
    left, top, wide, high = cv2.boundingRect(mask)
    right, bottom = left + wide, top + high
    # most drawings are of one piece, and this says so ten times faster than labelling every pixel
    pieces, _ = cv2.findContours(mask[top:bottom, left:right], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if len(pieces) == 1:
        box = left, top, right, bottom
        return mask, box, _evidence(mask, box)
    height, width = mask.shape
    # this algorithm is three times as fast as OpenCV's default on pictures of this size
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, cv2.CV_32S, cv2.CCL_GRANA)
    inked = np.bincount(labels[core > 0], minlength=len(stats)) > 0
    areas = np.where(inked, stats[:, cv2.CC_STAT_AREA], 0)
    areas[0] = 0  # the paper
    order = np.argsort(-areas, kind="stable")[:_MOST_PARTS]
    order = order[areas[order] >= max(1.0, _SPECK * areas[order[0]])]
    left, top, wide, high = stats[order, :4].T
    right, bottom = left + wide, top + high
    touching = (left == 0) | (top == 0) | (right == width) | (bottom == height)
    # The digit is large and in the middle; what runs out of the picture is rather a neighbour, a line or a
    # shadow.
    off = np.hypot((left + right) / width - 1, (top + bottom) / height - 1)
    weight = areas[order] * (1.2 - 0.5 * np.minimum(off, 1.4)) * np.where(touching, 0.3, 1.0)
    chosen, box = _gather(int(np.argmax(weight)), np.stack([left, top, right, bottom], axis=1), touching)
    beside = (left >= box[2]) | (right <= box[0])
    others = ~chosen & beside & (high >= _DIGIT_HEIGHT * (box[3] - box[1])) & ~touching
    large = max(1, _side_by_side(left, right, chosen & (high >= 0.8 * (box[3] - box[1])))) + int(others.sum())
    is_chosen = np.zeros(len(stats), np.uint8)
    is_chosen[order[chosen]] = 255
    running_out = int(areas[order[~chosen & touching]].sum())
    stray = int(areas.sum()) - int(areas[order[chosen]].sum()) - running_out
    region = is_chosen[labels]
    evidence = _evidence(region, box, parts=int(chosen.sum()), large=large, stray=stray, running_out=running_out)
    return region, box, evidence


def _evidence(
    region: np.ndarray, box: Sequence[int], *, parts: int = 1, large: int = 1, stray: int = 0, running_out: int = 0
) -> dict[str, float | int | bool]:
    """What the chosen region says about itself; `box` is left, top, right, bottom, the other figures are
    pixels left aside."""
    area = cv2.countNonZero(region)
    width, height = int(box[2] - box[0]), int(box[3] - box[1])
    on_edge = int(sum(map(np.count_nonzero, (region[0], region[-1], region[:, 0], region[:, -1]))))
    return {
        "parts": parts,
        "large": large,
        "speckle": round(stray / (stray + area), 4),
        "neighbours": round(running_out / (running_out + area), 4),
        "edge": round(on_edge / (2 * sum(region.shape)), 4),
        "coverage": round(area / region.size, 4),
        "fill": round(area / (width * height), 4),
        "aspect": round(width / height, 3),
    }


def _side_by_side(left: np.ndarray, right: np.ndarray, tall: np.ndarray) -> int:
    """How many of the tall parts stand apart: two strokes of one digit overlap from left to right, two digits
    hardly do."""
    count, reached = 0, -1.0
    for i in sorted(np.flatnonzero(tall), key=lambda i: left[i]):
        if left[i] >= reached:
            count += 1
        reached = max(reached, right[i] - 0.1 * (right[i] - left[i]))
    return count


def _gather(main: int, boxes: np.ndarray, touching: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Add to the main component what lies close enough to be a part of the same digit, until nothing more
    does.

    Args:
        main: the component to begin with.
        boxes: int (n, 4), left, top, right, bottom of each.
        touching: bool (n,), which of them run out of the picture.

    Returns:
        Which components were chosen, bool (n,), and their common box.
    """
    chosen = np.zeros(len(boxes), bool)
    chosen[main] = True
    box = boxes[main].tolist()
    candidates = [i for i in range(len(boxes)) if i != main and (touching[main] or not touching[i])]
    grown = True
    while grown:
        grown = False
        size = max(box[2] - box[0], box[3] - box[1])
        for i in candidates:
            left, top, right, bottom = boxes[i].tolist()
            gap_x, gap_y = max(left - box[2], box[0] - right, 0), max(top - box[3], box[1] - bottom, 0)
            beside = gap_x > 0 and bottom - top >= _DIGIT_HEIGHT * (box[3] - box[1])
            near = np.hypot(gap_x, gap_y) <= (_DIGIT_GAP if beside else _PART_GAP) * size
            if chosen[i] or not near or _is_full_stop((left, top, right, bottom), box):
                continue
            chosen[i] = grown = True
            box = [min(box[0], left), min(box[1], top), max(box[2], right), max(box[3], bottom)]
    return chosen, box


def _is_full_stop(part: tuple[int, int, int, int], box: list[int]) -> bool:
    """A small compact blob beside the foot of the digit: punctuation of the text that the digit was cut
    from."""
    wide, high = part[2] - part[0], part[3] - part[1]
    size = max(box[2] - box[0], box[3] - box[1])
    compact = max(wide, high) <= 0.25 * size and max(wide, high) <= 2 * min(wide, high)
    beside = part[0] + wide / 4 >= box[2] or part[2] - wide / 4 <= box[0]
    low = part[1] >= box[1] + 0.6 * (box[3] - box[1])
    return bool(compact and beside and low)
