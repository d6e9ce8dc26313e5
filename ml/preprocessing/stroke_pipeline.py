"""Preprocessing of strokes: drawn at the stroke width of MNIST's digits, then normalized."""

from __future__ import annotations

import numpy as np

from ml.preprocessing.alternatives import segment_unmarked
from ml.preprocessing.normalization import BOX, Prepared, normalize
from ml.preprocessing.segmentation import Segmentation, segment
from ml.preprocessing.strokes import FRAME, STORED_PEN_WIDTH, Strokes, draw_lines, to_point_arrays
from ml.readings import Reading, ReadingKind
from ml.versions import SIDE

# Stroke width in the 28x28, in pixels: the median over MNIST's digits is 2.45, the middle half 2.0 to 2.9.
PEN = 2.45
# Long side of the drawing, in pixels, while accidental marks are separated from the digit.
_SEGMENTATION_SIDE = 140
# The drawing is this many times larger than the 28x28 and then averaged, which gives the same grey edges as in MNIST.
_OVERSAMPLING = 8
# A drawing with a smaller span, as a share of the frame, is not magnified further: it is a dot, not a digit.
_MIN_SPAN = 0.05


def prepare_strokes(strokes: Strokes, *, pen: float = PEN) -> Prepared:
    """Render strokes for the model.

    Args:
        strokes: as `ml.preprocessing.strokes.parse_strokes` returns them.
        pen: width of the strokes in pixels of the 28x28.

    Returns:
        The plain reading, one without a frame, circle or underline if there is any, and their image features; `blank`
        if there are no points.
    """
    lines = to_point_arrays(strokes)
    result = _segment_lines(lines) if lines else None
    if result is None:
        return Prepared(np.zeros((SIDE, SIDE), np.uint8), blank=True)
    segmentation, small = result
    unmarked = segment_unmarked(segmentation)
    alternatives: tuple[Reading, ...] = ()
    if unmarked is not None and not unmarked.features["dot"]:
        pixels = _render(_select_lines(lines, small, unmarked.alpha), pen)
        alternatives = (Reading(ReadingKind.UNMARKED, pixels, unmarked.features),)
    pixels = _render(_select_lines(lines, small, segmentation.alpha), pen)
    return Prepared(pixels, segmentation.features, alternatives=alternatives)


def _render(lines: list[np.ndarray], pen: float) -> np.ndarray:
    """Draw lines with a pen of a width in pixels of the 28x28, and normalize them: uint8 (28, 28)."""
    low, high = _bounds(lines)
    scale = _OVERSAMPLING * (BOX - pen) / max(float((high - low).max()), _MIN_SPAN * FRAME)
    pen_width = pen * _OVERSAMPLING
    width, height = np.ceil((high - low) * scale + pen_width).astype(int).tolist()
    # One pixel of margin, or the anti-aliased edge would be cut off.
    shifted = [(line - low) * scale + pen_width / 2 + 1 for line in lines]
    large = draw_lines(shifted, (height + 2, width + 2), pen_width)
    return normalize(large, (1, 1, width, height), pen_width)


def _bounds(lines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest coordinates of the lines, (2,) each."""
    points = np.concatenate(lines)
    return points.min(axis=0), points.max(axis=0)


def _segment_lines(lines: list[np.ndarray]) -> tuple[Segmentation, list[np.ndarray]] | None:
    """Segment a small rendering of the drawing.

    Returns:
        The segmentation, and the lines in its pixels; None if there is no ink.
    """
    low, high = _bounds(lines)
    span = float((high - low).max())
    # With a margin, so that the drawing does not touch the edge.
    scale = _SEGMENTATION_SIDE / max(span, _MIN_SPAN * FRAME)
    small = [(line - low + STORED_PEN_WIDTH) * scale for line in lines]
    corner = (high - low + STORED_PEN_WIDTH) * scale
    width, height = (np.ceil(corner) + STORED_PEN_WIDTH * _SEGMENTATION_SIDE / FRAME).astype(int).tolist()
    pen_width = max(3.0, STORED_PEN_WIDTH * _SEGMENTATION_SIDE / FRAME)
    segmentation = segment(draw_lines(small, (height + 1, width + 1), pen_width))
    if segmentation is None:
        return None
    # A drawing whose span is below the width of the pen is a dot.
    segmentation = segmentation.with_features(quick=True, dot=span < STORED_PEN_WIDTH)
    return segmentation, small


def _select_lines(lines: list[np.ndarray], small: list[np.ndarray], alpha: np.ndarray) -> list[np.ndarray]:
    """Return the lines of which more than half of the points lie on selected ink; all if there are none.

    Args:
        lines: the lines.
        small: the same in pixels of `alpha`.
        alpha: uint8 (h, w), above 0 on selected ink.
    """
    x, y = np.rint(np.concatenate(small) - 0.5).astype(int).T
    lengths = np.array([len(line) for line in small])
    starts = np.concatenate([[0], lengths[:-1].cumsum()])
    is_on_ink = np.add.reduceat((alpha[y, x] > 0).astype(int), starts) > 0.5 * lengths
    return [line for line, is_selected in zip(lines, is_on_ink.tolist(), strict=True) if is_selected] or lines
