"""Ink of a whole page: an image to ink maps at page size, their connected components, and the height of a digit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ml.numbers.form_lines import remove_form_lines
from ml.preprocessing import background
from ml.preprocessing.ruled_lines import remove_ruled_lines
from ml.preprocessing.search import fit_within, iter_ink_maps
from ml.preprocessing.segmentation import build_alpha_table, estimate_stroke_width, threshold_ink

if TYPE_CHECKING:
    from collections.abc import Sequence

Box = tuple[int, int, int, int]

# Images are reduced until the long side has this many pixels: ten digits in a row are then still 50 pixels wide each.
PAGE_SIDE = 720
# An image with a shorter long side is enlarged to it, so that cuts and strokes are whole pixels wide.
_MIN_PAGE_SIDE = 100
# With a shorter side, ruled lines cannot be distinguished from strokes.
_MIN_DETAILED_SIDE = 40
# Faint ink counts down to these shares of full ink; the high one is tried if ink touches the edge at the low one.
_THRESHOLDS = ((0.25, 1.0), (0.5, 0.93))
# Only this many components are examined, the largest first: more are texture.
_MAX_COMPONENTS = 150
# A component with less than this share of the largest component's area is a speck.
_MIN_AREA_SHARE = 0.004
# The height of a digit is the height below which this share of the ink lies.
_HEIGHT_QUANTILE = 0.6
# A frame fills at most this share of its box.
_MAX_FRAME_FILL = 0.35
# A flat background is good enough from these values on; no other map is then examined.
_CLEAN_BORDER, _CLEAN_CONTRAST, _CLEAN_NOISE, _CLEAN_SCORE = 0.98, 60, 0.12, 0.6
_MIN_BORDER = 0.9
# Exponent of the relative contrast in the order of the pages.
_CONTRAST_EXPONENT = 0.4


@dataclass(frozen=True, slots=True)
class Component:
    """A connected component of ink.

    Attributes:
        label: its number in `Page.labels`.
        box: left, top, width, height in pixels of the page.
        area: number of its pixels.
        touches_edge: it reaches the edge of the image.
        is_rule: it is long and flat, as a ruled line, a dash or the remains of a frame.
    """

    label: int
    box: Box
    area: int
    touches_edge: bool
    is_rule: bool

    @property
    def height(self) -> int:
        """Height of the box in pixels."""
        return self.box[3]

    @property
    def right(self) -> int:
        """First column to the right of the box."""
        return self.box[0] + self.box[2]

    @property
    def bottom(self) -> int:
        """First row below the box."""
        return self.box[1] + self.box[3]

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box, x and y."""
        return self.box[0] + self.box[2] / 2, self.box[1] + self.box[3] / 2


@dataclass(frozen=True, slots=True)
class Page:
    """One interpretation of an image as ink on paper.

    Attributes:
        alpha: uint8 (h, w), ink coverage of each pixel.
        core: uint8 (h, w), 255 where ink has at least half of its full strength.
        labels: int32 (h, w), the component of each pixel; 0 is paper.
        components: the components that may be writing.
        digit_height: estimated height of a digit in pixels.
        stroke: estimated width of the strokes in pixels.
        score: plausibility as a page of digits, 0 to 1.
        contrast: strength of full ink over the paper, in steps of 255.
    """

    alpha: np.ndarray
    core: np.ndarray
    labels: np.ndarray
    components: tuple[Component, ...]
    digit_height: float
    stroke: float
    score: float
    contrast: float


def find_pages(pixels: np.ndarray) -> tuple[list[Page], float]:
    """Interpret an image as ink on paper in several ways.

    Args:
        pixels: uint8 (h, w) or (h, w, 3).

    Returns:
        The pages, most plausible first, and the size of the image relative to that of the pages.
    """
    small = _enlarge(fit_within(pixels, PAGE_SIDE))
    scale = max(pixels.shape[:2]) / max(small.shape[:2])
    pages: list[Page] = []
    flat, border_share = background.subtract_flat_background(small)
    if border_share >= _MIN_BORDER:
        page, noise = _segment_page(flat, _THRESHOLDS[0][0], border_share) or (None, 0.0)
        if page is not None:
            is_clean = (
                border_share >= _CLEAN_BORDER
                and page.contrast >= _CLEAN_CONTRAST
                and noise <= _CLEAN_NOISE * page.contrast
                and page.score > _CLEAN_SCORE
            )
            pages.append(page)
            if is_clean:
                return pages, scale
    is_detailed = min(small.shape[:2]) >= _MIN_DETAILED_SIDE
    for trust, ink_map in iter_ink_maps(small, smooth=is_detailed):
        for threshold, weight in _THRESHOLDS:
            result = _segment_page(ink_map, threshold, trust * weight, is_ruled=is_detailed)
            if result is None:
                break
            pages.append(result[0])
            if not any(component.touches_edge for component in result[0].components):
                break
    top = max((page.contrast for page in pages), default=1.0)
    pages.sort(key=lambda page: -page.score * (page.contrast / top) ** _CONTRAST_EXPONENT)
    return pages, scale


def _enlarge(pixels: np.ndarray) -> np.ndarray:
    factor = -(-_MIN_PAGE_SIDE // max(pixels.shape[:2]))
    if factor < 2:
        return pixels
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)


def _segment_page(
    ink_map: np.ndarray, faint: float, trust: float, *, is_ruled: bool = False
) -> tuple[Page, float] | None:
    """Find the components of an ink map.

    Args:
        ink_map: uint8 (h, w), 0 is paper.
        faint: share of full ink above which a pixel counts.
        trust: prior weight of the map.
        is_ruled: whether to remove ruled lines, too.

    Returns:
        The page and the noise of its paper in steps of 255; None if there is no writing.
    """
    ink = threshold_ink(ink_map, faint)
    if ink is None:
        return None
    level, noise, threshold, mask, core = ink
    labels, components = _label(mask, core)
    writing = _measure([part for part in components if not _is_container(part, components)])
    if writing is None:
        return None
    cleaned = remove_form_lines(ink_map, mask, writing[0])
    if is_ruled:
        cleaned = remove_ruled_lines(cleaned)[0]
    if cleaned is not ink_map:
        ink_map = cleaned
        mask = cv2.threshold(ink_map, threshold, 255, cv2.THRESH_BINARY)[1]
        core = cv2.bitwise_and(core, mask)
        labels, components = _label(mask, core)
    measured = _measure(components)
    if measured is None:
        return None
    digit_height, likeness = measured
    stroke = estimate_stroke_width(core)
    halo = 1 - cv2.countNonZero(core) / max(1, cv2.countNonZero(mask))
    separation = min(1.0, level / (10 * noise + 1))
    thinness = 1.0 if stroke < 0.34 * digit_height else 0.3
    score = trust * separation * likeness * min(1.0, 2 * (1 - halo)) * thinness
    alpha = cv2.LUT(ink_map, build_alpha_table(threshold, level))
    return Page(alpha, core, labels, tuple(components), digit_height, stroke, score, level), noise


def _label(mask: np.ndarray, core: np.ndarray) -> tuple[np.ndarray, list[Component]]:
    """Return the label of each pixel, and the largest components that have full ink somewhere; others are stains."""
    height, width = core.shape
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, cv2.CV_32S, cv2.CCL_GRANA)
    has_core = np.bincount(labels[core > 0], minlength=len(stats)) > 0
    areas = np.where(has_core, stats[:, cv2.CC_STAT_AREA], 0)
    areas[0] = 0  # the paper
    components = []
    for label in np.argsort(-areas, kind="stable")[:_MAX_COMPONENTS].tolist():
        left, top, wide, high, area = stats[label].tolist()
        if areas[label] < max(3, _MIN_AREA_SHARE * areas.max()):
            break
        touches_edge = left == 0 or top == 0 or left + wide == width or top + high == height
        is_rule = wide > 4 * high and high < 0.12 * height
        components.append(Component(label, (left, top, wide, high), area, touches_edge, is_rule))
    return labels, components


def _is_container(part: Component, components: Sequence[Component]) -> bool:
    """Return whether a component is a frame around others: sparse, with other centres inside its box."""
    left, top, width, height = part.box
    if part.area > _MAX_FRAME_FILL * width * height:
        return False
    inside = (
        left < other.centre[0] < part.right and top < other.centre[1] < part.bottom and other.height > 0.2 * height
        for other in components
        if other is not part
    )
    return any(inside)


def _measure(components: Sequence[Component]) -> tuple[float, float] | None:
    """Return the height of a digit, and the plausibility of the components as digits, 0 to 1."""
    writing = [component for component in components if not component.is_rule]
    if not writing:
        return None
    heights = np.array([component.height for component in writing], float)
    weights = np.array([component.area * (0.3 if component.touches_edge else 1.0) for component in writing])
    order = np.argsort(heights)
    shares = np.cumsum(weights[order]) / weights.sum()
    digit_height = float(heights[order][np.searchsorted(shares, _HEIGHT_QUANTILE)])
    total = sum(component.area for component in components)
    similar = sum(
        component.area
        for component in writing
        if 0.45 * digit_height <= component.height <= 1.9 * digit_height and component.box[2] < 12 * digit_height
    )
    at_edge = sum(component.area for component in components if component.touches_edge)
    small = sum(max(component.box[2:]) < 0.3 * digit_height for component in components)
    fewness = 1 / (1 + 0.05 * max(0, small - 2))
    return digit_height, (similar / total) ** 2 * (1 - 0.6 * at_edge / total) * fewness
