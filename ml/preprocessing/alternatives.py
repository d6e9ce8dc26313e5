"""Further readings of an image: segmentations that differ from the plain one, where evidence asks for them.

The classifier chooses among the readings, so an alternative may be wrong, but it must be rare: each costs a run of the
model.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ml.preprocessing.background import border_pixels
from ml.preprocessing.marks import find_marks
from ml.preprocessing.outlines import fill_outlines
from ml.preprocessing.search import segment_image
from ml.preprocessing.segmentation import Segmentation, segment
from ml.preprocessing.sheet import rectify_sheet
from ml.readings import ReadingKind

if TYPE_CHECKING:
    from collections.abc import Iterator

# Width of the added background, as a share of the geometric mean of the sides of the image.
_PADDING = 0.25
# Ink at the edge that was ignored may be a part of the digit if it is at least this share of all ink.
_MIN_NEIGHBOURS = 0.1
# Padded noise looks like one filled shape. With more parts than this in either reading, no answer is sure.
_MAX_PARTS = 5
# Minimum area within an outer contour, as a multiple of the area of its ink.
_MIN_ENCLOSED = 1.25
# Ink that covers more than this share of its bounding box is a page, unless it is a bar, as a 1 is.
_MIN_PAGE_FILL, _MAX_PAGE_ASPECT = 0.8, 2.5
# A clean image is searched for a sheet of paper if the ink covers more than this share of it.
_MIN_SHEET_COVERAGE = 0.25


def iter_alternatives(pixels: np.ndarray, plain: Segmentation | None) -> Iterator[tuple[ReadingKind, Segmentation]]:
    """Yield further segmentations of an image, the most useful first.

    Args:
        pixels: uint8 (h, w) or (h, w, 3).
        plain: the plain segmentation; None if it found no ink.
    """
    for kind, segmentation in _iter_candidates(pixels, plain):
        if segmentation is not None and not _is_filled_shape(segmentation):
            yield kind, segmentation


def _is_filled_shape(segmentation: Segmentation) -> bool:
    """Return whether the ink is a dot, or a page that was taken for ink."""
    features = segmentation.features
    is_page = features["fill"] > _MIN_PAGE_FILL and 1 / _MAX_PAGE_ASPECT < features["aspect"] < _MAX_PAGE_ASPECT
    return bool(features["dot"] or is_page)


def _iter_candidates(
    pixels: np.ndarray, plain: Segmentation | None
) -> Iterator[tuple[ReadingKind, Segmentation | None]]:
    """Yield the segmentation of each kind, None without evidence for it."""
    if plain is not None:
        yield ReadingKind.PADDED, _segment_padded(pixels, plain)
        yield ReadingKind.LINES, _segment_with_lines(plain)
        yield ReadingKind.UNMARKED, segment_unmarked(plain)
    if plain is None or not plain.features["quick"] or plain.features["coverage"] > _MIN_SHEET_COVERAGE:
        sheet = rectify_sheet(pixels)
        yield ReadingKind.SHEET, None if sheet is None else segment_image(sheet)
    if plain is not None:
        yield ReadingKind.FILLED, _segment_filled(plain)


def _segment_padded(pixels: np.ndarray, plain: Segmentation) -> Segmentation | None:
    """Segment the image with background added around it, if ink touches its edge."""
    if plain.features["edge"] == 0 and plain.features["neighbours"] < _MIN_NEIGHBOURS:
        return None
    margin = max(2, round(_PADDING * math.sqrt(pixels.shape[0] * pixels.shape[1])))
    paper = np.median(border_pixels(pixels), axis=0).tolist()
    padded = segment_image(cv2.copyMakeBorder(pixels, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=paper))
    if padded is None or max(plain.features["parts"], padded.features["parts"]) <= _MAX_PARTS:
        return padded
    return padded.with_features(doubtful=True)


def _segment_with_lines(plain: Segmentation) -> Segmentation | None:
    """Segment the ink map from which ruled lines were removed with these lines: one may be an upright stem."""
    return None if plain.ruled_map is None else _segment_variant(plain.ruled_map, plain)


def segment_unmarked(plain: Segmentation) -> Segmentation | None:
    """Segment the ink without a frame, a circle or an underline; None if there is none of them."""
    marks = find_marks(plain.mask, outline=plain.outline) if _encloses_area(plain) else None
    return None if marks is None else _segment_variant(cv2.bitwise_and(plain.ink_map, cv2.bitwise_not(marks)), plain)


def _segment_filled(plain: Segmentation) -> Segmentation | None:
    """Segment the ink with the inside of its outlines filled; None if they are no outlines."""
    filled = fill_outlines(plain.alpha, plain.stroke) if _encloses_area(plain) else None
    return None if filled is None else _segment_variant(filled, plain)


def _segment_variant(ink_map: np.ndarray, plain: Segmentation) -> Segmentation | None:
    """Segment a variant of the ink map of the plain segmentation, which is as clean and as doubtful as that one."""
    segmentation = segment(ink_map, faint=plain.faint)
    if segmentation is None:
        return None
    return segmentation.with_features(quick=plain.features["quick"], doubtful=plain.features["doubtful"])


def _encloses_area(plain: Segmentation) -> bool:
    """Return whether the ink may be a frame or an outline: it has several components, or one that encloses an area.

    Most drawings are one component that does not, so that this costs them nothing more.
    """
    if plain.outline is None:
        return True
    return cv2.contourArea(plain.outline) > _MIN_ENCLOSED * cv2.countNonZero(plain.mask)
