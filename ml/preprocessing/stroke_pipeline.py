"""Strokes to the 28x28 that the model sees, drawn at the width that MNIST's digits have.

Called through `ml.preprocessing` by the services that accept drawings and by the training code, for the
digits it draws itself.
"""

from __future__ import annotations

import numpy as np

from ml.preprocessing.normalization import BOX, SIDE, Prepared, normalize
from ml.preprocessing.segmentation import Segmentation, segment
from ml.preprocessing.strokes import FRAME, STORED_PEN_WIDTH, Strokes, draw_lines, to_point_arrays

# Width of a stroke in the 28x28, in pixels: the median over MNIST's digits is 2.45, the middle half 2.0 to
# 2.9.
PEN = 2.45
# Long side of the drawing while parts of the digit are told from slips of the finger.
_LOOK_SIDE = 140
# Drawn this many times larger than the 28x28, then averaged down: the grey edges of MNIST come from the same
# averaging.
_OVERSAMPLING = 8
# A drawing that spans less than this share of the frame is not magnified further: it is a dot, not a digit.
_LEAST_SPAN = 0.05


def prepare_strokes(strokes: Strokes, *, pen: float = PEN) -> Prepared:
    """Render strokes for the model.

    Args:
        strokes: as `ml.preprocessing.strokes.parse_strokes` returns them.
        pen: width of the strokes in pixels of the 28x28.

    Returns:
        The 28x28 and the evidence about the ink; `blank` when there is no point at all.
    """
    lines = to_point_arrays(strokes)
    looked = _look(lines) if lines else None
    if looked is None:
        return Prepared(np.zeros((SIDE, SIDE), np.uint8), blank=True)
    reading, inked = looked
    kept = [line for line, is_inked in zip(lines, inked, strict=True) if is_inked] or lines
    low, high = _corners(kept)
    scale = _OVERSAMPLING * (BOX - pen) / max(float((high - low).max()), _LEAST_SPAN * FRAME)
    wide = pen * _OVERSAMPLING
    width, height = np.ceil((high - low) * scale + wide).astype(int).tolist()
    # a pixel of margin, or the anti-aliased edge would be cut off
    large = draw_lines([(line - low) * scale + wide / 2 + 1 for line in kept], (height + 2, width + 2), wide)
    return Prepared(normalize(large, (1, 1, width, height), wide), reading.features)


def _corners(lines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate(lines)
    return points.min(axis=0), points.max(axis=0)


def _look(lines: list[np.ndarray]) -> tuple[Segmentation, list[bool]] | None:
    """The reading of a small picture of the drawing, and of each stroke whether it is part of what was taken for the
    digit."""
    low, high = _corners(lines)
    longest = float((high - low).max())
    # with a margin, so that the drawing touches no edge
    scale = _LOOK_SIDE / max(longest, _LEAST_SPAN * FRAME)
    small = [(line - low + STORED_PEN_WIDTH) * scale for line in lines]
    corner = (high - low + STORED_PEN_WIDTH) * scale
    width, height = (np.ceil(corner) + STORED_PEN_WIDTH * _LOOK_SIDE / FRAME).astype(int).tolist()
    wide = max(3.0, STORED_PEN_WIDTH * _LOOK_SIDE / FRAME)
    reading = segment(draw_lines(small, (height + 1, width + 1), wide))
    if reading is None:
        return None
    # a drawing no longer than the pen is wide
    reading = reading.with_features(quick=True, dot=longest < STORED_PEN_WIDTH)
    return reading, _are_inked(small, reading.alpha)


def _are_inked(lines: list[np.ndarray], soft: np.ndarray) -> list[bool]:
    """Whether more than half of the points of each line lie on ink."""
    x, y = np.rint(np.concatenate(lines) - 0.5).astype(int).T
    lengths = np.array([len(line) for line in lines])
    starts = np.concatenate([[0], lengths[:-1].cumsum()])
    return (np.add.reduceat((soft[y, x] > 0).astype(int), starts) > 0.5 * lengths).tolist()
