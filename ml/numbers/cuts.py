"""Cuts between touching digits: seams of least ink from the top to the bottom of a component.

Over-segmentation: more cuts than digits are proposed, and the lattice chooses among them. A seam follows the least ink
within a narrow band (dynamic programming, as in seam carving: Avidan, Shamir, "Seam Carving for Content-Aware Image
Resizing"), so it may be slanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

# Half of the band in which a seam may move, and the distance of the regular starting points, in digit heights.
_REACH, _GRID = 0.17, 0.12
# Least distance of a cut from the ends of the component, in digit heights.
_MIN_END = 0.15
# A seam that crosses more ink than this, in stroke widths, separates nothing.
_MAX_CROSSED = 4.0
# Two seams between which less ink lies than this, in squared digit heights, are one.
_MIN_BETWEEN = 0.008
# Maximum number of cuts for each digit height of width.
_MAX_CUTS_PER_HEIGHT = 6.0
# A cut leaves at least this share of the component on either side.
_MIN_SHARE = 0.06
_SLANT_COST, _OFFSET_COST, _PAPER_COST = 0.01, 0.08, 0.02


class Cut(NamedTuple):
    """A cut through a component.

    Attributes:
        columns: int (h,), in each row the first column to the right of the cut.
        crossed: ink that it crosses, in stroke widths.
    """

    columns: npt.NDArray[np.intp]
    crossed: float


def find_cuts(alpha: np.ndarray, region: np.ndarray, digit_height: float, stroke: float) -> list[Cut]:
    """Propose cuts through one component.

    Args:
        alpha: uint8 (h, w), ink coverage of the component's box; 0 outside of the component.
        region: bool (h, w), the pixels of the component.
        digit_height: height of a digit in pixels.
        stroke: width of the strokes in pixels.

    Returns:
        Cuts that do not cross, left to right.
    """
    width = region.shape[1]
    if width < max(7, 0.45 * digit_height):
        return []
    cost = alpha.astype(np.float32) / 255 + _PAPER_COST
    cuts = [_follow(cost, start, digit_height, stroke) for start in _find_starts(region, digit_height, stroke)]
    selected = _drop_doubles(cuts, region, digit_height)
    selected.sort(key=lambda cut: float(cut.columns.mean()))
    for i in range(1, len(selected)):
        selected[i] = Cut(np.maximum(selected[i].columns, selected[i - 1].columns), selected[i].crossed)
    return selected


def _find_starts(region: np.ndarray, digit_height: float, stroke: float) -> list[int]:
    """Return the columns where cuts are likely: extremes of the ink's profile and outline, and a regular grid."""
    height, width = region.shape
    is_inked = region.any(axis=0)
    profile = region.sum(axis=0).astype(np.float32)
    blur = max(1, int(stroke / 2)) | 1
    profile = cv2.blur(profile[None], (blur, 1), borderType=cv2.BORDER_REPLICATE)[0]
    top = np.where(is_inked, region.argmax(axis=0), height).astype(np.float32)
    bottom = np.where(is_inked, height - 1 - region[::-1].argmax(axis=0), 0).astype(np.float32)
    margin = max(2, int(0.12 * digit_height))
    window = np.ones((1, 2 * margin + 1), np.uint8)
    is_minimum = np.zeros(width, bool)
    for values in (profile, -top, bottom, bottom - top):
        is_minimum |= values == cv2.erode(values[None], window, borderType=cv2.BORDER_REPLICATE)[0]
    is_minimum[:margin] = is_minimum[width - margin :] = False
    groups: list[list[int]] = []
    for column in np.flatnonzero(is_minimum).tolist():
        if groups and column - groups[-1][-1] <= 2:
            groups[-1].append(column)
        else:
            groups.append([column])
    starts = [group[len(group) // 2] for group in groups]
    end = int(_MIN_END * digit_height)
    grid = np.arange(end, width - end + 1, max(2.0, _GRID * digit_height)).astype(int).tolist()
    return sorted(starts + [column for column in grid if all(abs(column - x) > 0.04 * digit_height for x in starts)])


def _follow(cost: np.ndarray, start: int, digit_height: float, stroke: float) -> Cut:
    """Return the cheapest seam in the band around a column."""
    height, width = cost.shape
    reach = max(2, int(_REACH * digit_height))
    left = max(0, start - reach)
    band = cost[:, left : start + reach + 1]
    offsets = np.abs(np.arange(left, left + band.shape[1]) - start)
    total = band + (_OFFSET_COST * offsets / max(1.0, digit_height)).astype(np.float32)
    moves = np.zeros(band.shape, np.int8)
    padded = np.full(band.shape[1] + 2, np.inf, np.float32)
    for row in range(1, height):
        padded[1:-1] = total[row - 1]
        options = np.stack([padded[1:-1], padded[:-2] + _SLANT_COST, padded[2:] + _SLANT_COST])
        choice = options.argmin(axis=0)
        moves[row] = np.array([0, -1, 1], np.int8)[choice]
        total[row] += options.min(axis=0)
    column = int(total[-1].argmin())
    columns = np.empty(height, np.intp)
    for row in range(height - 1, -1, -1):
        columns[row] = column + left
        column += int(moves[row, column])
    crossed = float(cost[np.arange(height), np.minimum(columns, width - 1)].sum() - _PAPER_COST * height)
    return Cut(columns, crossed / max(stroke, 1.0))


def _drop_doubles(cuts: list[Cut], region: np.ndarray, digit_height: float) -> list[Cut]:
    """Return the cheapest cuts of those that separate about the same ink."""
    width = region.shape[1]
    total = int(region.sum())
    max_cuts = max(2, int(np.ceil(_MAX_CUTS_PER_HEIGHT * width / digit_height)))
    selected: list[tuple[Cut, np.ndarray]] = []
    for cut in sorted(cuts, key=lambda cut: cut.crossed):
        if cut.crossed > _MAX_CROSSED or len(selected) >= max_cuts:
            break
        left = (np.arange(width) < cut.columns[:, None]) & region
        is_at_end = not _MIN_SHARE * total <= left.sum() <= (1 - _MIN_SHARE) * total
        if is_at_end or any(
            np.logical_xor(left, other).sum() < _MIN_BETWEEN * digit_height**2 for _, other in selected
        ):
            continue
        selected.append((cut, left))
    return [cut for cut, _ in selected]
