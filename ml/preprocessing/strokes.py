"""Strokes to the 28x28 that the model sees, drawn at the width that MNIST's digits have."""

from __future__ import annotations

import cv2
import numpy as np

from ml.preprocessing.frame import BOX, Prepared, centre
from ml.strokes import FRAME, Strokes, draw_lines, stroke_points

# Width of a stroke in the 28x28, in pixels: the middle of what MNIST's digits have.
PEN = 2.5
# Drawn this many times larger, then averaged down: the grey edges of MNIST come from the same averaging.
_OVERSAMPLING = 8
# Ink that spans less than this share of the frame is a dot, and is not blown up to a digit's size.
_DOT = 0.03


def prepare_strokes(strokes: Strokes) -> Prepared:
    """Render strokes for the model.

    Args:
        strokes: as `ml.strokes.parse_strokes` returns them.

    Returns:
        The 28x28 and the evidence about the ink; `blank` when there is no point at all.
    """
    lines = stroke_points(strokes)
    if not lines:
        return Prepared(np.zeros((28, 28), np.uint8), {"coverage": 0.0}, blank=True)
    points = np.concatenate(lines)
    low, high = points.min(0), points.max(0)
    span = float((high - low).max())
    dot = span < _DOT * FRAME
    scale = (BOX - PEN) / max(span, _DOT * FRAME if not dot else FRAME / 4)
    size = np.ceil((high - low) * scale + PEN).astype(int)
    offset = (size - (high - low) * scale) / 2
    moved = [((line - low) * scale + offset) * _OVERSAMPLING for line in lines]
    width, height = (size * _OVERSAMPLING).tolist()
    large = draw_lines(moved, (height, width), PEN * _OVERSAMPLING)
    glyph = cv2.resize(large, tuple(size.tolist()), interpolation=cv2.INTER_AREA)
    ink = {"dot": bool(dot), "span": round(span / FRAME, 4), "strokes": len(lines)}
    return Prepared(centre(glyph), ink)
