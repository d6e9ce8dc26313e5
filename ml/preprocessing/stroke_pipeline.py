"""Preprocessing of strokes: drawn at the stroke width of MNIST's digits, then normalized."""

from __future__ import annotations

import numpy as np

from ml.preprocessing.normalization import BOX, Prepared, normalize
from ml.preprocessing.segmentation import Segmentation, segment
from ml.preprocessing.strokes import FRAME, STORED_PEN_WIDTH, Strokes, draw_lines, to_point_arrays
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
        The 28x28 pixels and the image features; `blank` if there are no points.
    """
    lines = to_point_arrays(strokes)
    result = _segment_lines(lines) if lines else None
    if result is None:
        return Prepared(np.zeros((SIDE, SIDE), np.uint8), blank=True)
    segmentation, on_ink = result
    selected = [line for line, is_on_ink in zip(lines, on_ink, strict=True) if is_on_ink] or lines
    low, high = _bounds(selected)
    scale = _OVERSAMPLING * (BOX - pen) / max(float((high - low).max()), _MIN_SPAN * FRAME)
    pen_width = pen * _OVERSAMPLING
    width, height = np.ceil((high - low) * scale + pen_width).astype(int).tolist()
    # One pixel of margin, or the anti-aliased edge would be cut off.
    shifted = [(line - low) * scale + pen_width / 2 + 1 for line in selected]
    large = draw_lines(shifted, (height + 2, width + 2), pen_width)
    return Prepared(normalize(large, (1, 1, width, height), pen_width), segmentation.features)


def _bounds(lines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest coordinates of the lines, (2,) each."""
    points = np.concatenate(lines)
    return points.min(axis=0), points.max(axis=0)


def _segment_lines(lines: list[np.ndarray]) -> tuple[Segmentation, list[bool]] | None:
    """Segment a small rendering of the drawing.

    Returns:
        The segmentation, and for each line whether it is part of the digit; None if there is no ink.
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
    return segmentation, _are_on_ink(small, segmentation.alpha)


def _are_on_ink(lines: list[np.ndarray], alpha: np.ndarray) -> list[bool]:
    """Return for each line whether more than half of its points lie on ink."""
    x, y = np.rint(np.concatenate(lines) - 0.5).astype(int).T
    lengths = np.array([len(line) for line in lines])
    starts = np.concatenate([[0], lengths[:-1].cumsum()])
    is_on_ink: list[bool] = (np.add.reduceat((alpha[y, x] > 0).astype(int), starts) > 0.5 * lengths).tolist()
    return is_on_ink
