"""Parsing, validation and rendering of strokes that are drawn on the canvas.

A stroke is `[[x…], [y…]]` or `[[x…], [y…], [t…]]` in a frame of FRAME x FRAME units, y downwards. The model's input is
rendered from the strokes, at the stroke width of the training data, and not from a screenshot, so it is independent of
how the page looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

FRAME = 280
MAX_STROKES = 200
MAX_POINTS = 10_000
# Pen width of the stored image, in units of the frame: the width that the page's canvas draws.
STORED_PEN_WIDTH = 20.0
# Maximum distance of a point from the canvas, in frames: a pointer that is held down may leave the canvas.
_MARGIN = 1.0
# Accepted pen widths in units of the frame: from a hairline to a third of the canvas.
MIN_PEN_WIDTH, MAX_PEN_WIDTH = 1.0, 100.0
_SHIFT = 4  # fractional bits of the fixed-point coordinates for OpenCV
# Drawings with more points are drawn with a precision of one pixel instead of 1/16: each wide anti-aliased line takes
# 4 to 15 us. A digit has one or two hundred points.
MAX_EXACT_POINTS = 500
# Maximum number of different pen widths in the stored image of such a drawing.
MAX_COARSE_PENS = 4

Strokes = list[list[list[float]]]


class StrokesError(ValueError):
    """Invalid strokes. The message explains what to change; `code` is machine-readable.

    Codes: `empty`, `bad_shape`, `too_many`, `not_a_number`, `out_of_range`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_strokes(value: object, *, frame: float = FRAME) -> Strokes:
    """Validate untrusted strokes and scale them to FRAME.

    Args:
        value: decoded JSON: a list of strokes, each a list of two or three lists of numbers of one length: x,
            y and, optionally, milliseconds. Strokes without points are dropped.
        frame: side of the square canvas in the units of x and y.

    Returns:
        The strokes as lists of floats rounded to 2 decimals, x and y scaled so that the canvas is FRAME x FRAME.

    Raises:
        StrokesError: the strokes are invalid. The message names the stroke.
    """
    if isinstance(frame, bool) or not isinstance(frame, int | float) or not (1 <= frame <= 100_000):
        raise StrokesError("out_of_range", "The canvas size must be a number from 1 to 100000.")
    if not isinstance(value, list | tuple):
        raise StrokesError("bad_shape", "Strokes must be a list of strokes: [[[x, …], [y, …]], …].")
    if len(value) > MAX_STROKES:
        raise StrokesError("too_many", f"There are {len(value)} strokes; at most {MAX_STROKES} are accepted.")
    _check_shapes(value)
    scale = FRAME / frame
    parsed = []
    for number, stroke in enumerate(value, start=1):
        if not stroke[0]:
            continue
        low, high = -_MARGIN * frame, (1 + _MARGIN) * frame
        lines = [_parse_axis(axis, number, low, high, scale) for axis in stroke[:2]]
        if len(stroke) == 3:
            lines.append(_parse_axis(stroke[2], number, -1e15, 1e15, 1.0))
        parsed.append(lines)
    if not parsed:
        raise StrokesError("empty", "Nothing is drawn yet. Please draw a digit.")
    return parsed


def parse_pens(value: object, strokes: list[Any] | tuple[Any, ...], *, frame: float = FRAME) -> list[float]:
    """Validate the pen widths of strokes.

    Args:
        value: decoded JSON: one number for all strokes, or a list with one number for each stroke.
        strokes: the client's strokes, which `parse_strokes` has accepted.
        frame: side of the square canvas in the units of the widths.

    Returns:
        The width of each stroke that has points, in units of FRAME.

    Raises:
        StrokesError: the widths are invalid.
    """
    widths = value if isinstance(value, list | tuple) else [value] * len(strokes)
    if len(widths) != len(strokes):
        raise StrokesError("bad_shape", f"Give one width for all, or {len(strokes)}, one for each stroke.")
    unit = frame / FRAME
    for width in widths:
        if isinstance(width, bool) or not isinstance(width, int | float):
            raise StrokesError("not_a_number", "The width of the pen must be a number.")
        if not MIN_PEN_WIDTH * unit <= width <= MAX_PEN_WIDTH * unit:
            low, high = MIN_PEN_WIDTH * unit, MAX_PEN_WIDTH * unit
            raise StrokesError("out_of_range", f"On this canvas the pen must be {low:g} to {high:g} wide.")
    return [round(width / unit, 2) for width, stroke in zip(widths, strokes, strict=True) if stroke[0]]


def _check_shapes(value: list[Any] | tuple[Any, ...]) -> None:
    """Check all lengths. This is cheap and comes first, so that a million points are never checked one by one."""
    points = 0
    for number, stroke in enumerate(value, start=1):
        if not isinstance(stroke, list | tuple) or len(stroke) not in (2, 3):
            raise StrokesError("bad_shape", f"Stroke {number} must be [[x, …], [y, …]] or [[x, …], [y, …], [t, …]].")
        if not all(isinstance(axis, list | tuple) for axis in stroke):
            raise StrokesError("bad_shape", f"Stroke {number} must hold lists of numbers.")
        if len({len(axis) for axis in stroke}) != 1:
            raise StrokesError("bad_shape", f"The lists of stroke {number} have different lengths.")
        points += len(stroke[0])
        if points > MAX_POINTS:
            raise StrokesError("too_many", f"The drawing has more than {MAX_POINTS} points, which is too many.")


def _parse_axis(axis: list[Any] | tuple[Any, ...], number: int, low: float, high: float, scale: float) -> list[float]:
    """Validate one axis of a stroke and scale it. The checks cover all numbers at once, which is faster than a loop."""
    kinds = set(map(type, axis))
    # bool is a subclass of int in Python, but not a coordinate.
    if bool in kinds or not all(issubclass(kind, int | float) for kind in kinds):
        raise StrokesError("not_a_number", f"Stroke {number} holds something that is not a number.")
    # An integer may be too large for a float, but is finite.
    if not all(map(math.isfinite, axis if kinds == {float} else filter(_is_float, axis))):
        raise StrokesError("not_a_number", f"Stroke {number} holds a number that is not finite.")
    if min(axis) < low or max(axis) > high:
        raise StrokesError("out_of_range", f"Stroke {number} leaves the canvas by far.")
    return [round(item * scale, 2) for item in axis]


def _is_float(item: object) -> bool:
    return isinstance(item, float)


def to_point_arrays(strokes: Strokes) -> list[np.ndarray]:
    """Convert each stroke to a float64 array (n, 2) of x and y. Strokes without points are dropped."""
    return [np.array(stroke[:2], np.float64).T for stroke in strokes if len(stroke[0])]


def draw_lines(lines: list[np.ndarray], size: tuple[int, int], pen: float, *, coarse: bool = False) -> np.ndarray:
    """Draw polylines with round ends and joints, at a bounded cost.

    Args:
        lines: arrays (n, 2) of x, y in pixels, where 0 is the left edge of the first pixel; n = 1 gives a dot.
        size: height, width.
        pen: width in pixels.
        coarse: draw with a precision of one pixel, as is always done above MAX_EXACT_POINTS points.

    Returns:
        uint8 (height, width), 255 on the strokes, anti-aliased over one pixel.
    """
    if coarse or sum(map(len, lines)) > MAX_EXACT_POINTS:
        return _draw_coarsely(lines, size, pen)
    canvas = np.zeros(size, np.uint8)
    unit = 1 << _SHIFT
    thickness = max(1, round(pen))
    for line in lines:
        fixed = np.rint((line - 0.5) * unit).astype(np.int32)
        if len(fixed) == 1:
            cv2.circle(canvas, fixed[0], max(1, round(pen * unit / 2)), 255, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        else:
            cv2.polylines(canvas, [fixed], False, 255, thickness, cv2.LINE_AA, _SHIFT)
    return canvas


def _draw_coarsely(lines: list[np.ndarray], size: tuple[int, int], pen: float) -> np.ndarray:
    """Draw as `draw_lines` does, with an error of up to one pixel at the edges (two with the widest pens).

    The paths are drawn one pixel wide; ink is every pixel within half a pen width of them. The cost depends on the
    size of the image and hardly on the number of points.
    """
    height, width = size
    # The strokes of paths outside of the image reach into it.
    margin = math.ceil(pen / 2) + 1
    paths = np.full((height + 2 * margin, width + 2 * margin), 255, np.uint8)
    points = np.rint((np.concatenate(lines) - 0.5 + margin) * (1 << _SHIFT)).astype(np.int32)
    ends = np.cumsum([len(line) for line in lines]).tolist()
    fixed = [points[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    # A dot is a line from a point to itself.
    fixed = [line if len(line) > 1 else line.repeat(2, axis=0) for line in fixed]
    cv2.polylines(paths, fixed, False, 0, 1, cv2.LINE_8, _SHIFT)
    distance = cv2.distanceTransform(paths, cv2.DIST_L2, cv2.DIST_MASK_5)
    # OpenCV's anti-aliased lines, which this replaces, extend half a pixel beyond half the pen width.
    reach = max(1, round(pen)) / 2 + 0.5
    ink = np.clip(reach + 0.5 - distance[margin:-margin, margin:-margin], 0, 1)
    scaled: np.ndarray = (ink * 255).astype(np.uint8)
    return scaled


def _quantize_pens(pens: Sequence[float]) -> list[float]:
    """Replace the widths by at most MAX_COARSE_PENS means of neighbouring widths."""
    distinct = np.unique(pens)
    means: dict[float, float] = {}
    for group in np.array_split(distinct, min(MAX_COARSE_PENS, len(distinct))):
        means |= dict.fromkeys(group.tolist(), float(group.mean()))
    return [means[width] for width in pens]


def render_strokes(strokes: Strokes, *, side: int = FRAME, pen: float | Sequence[float] | None = None) -> np.ndarray:
    """Render a drawing as the visitor saw it. The result is the stored image.

    Args:
        strokes: as `parse_strokes` returns them.
        side: side of the square image in pixels.
        pen: width of the pen in units of the frame, one for all strokes or one for each. Default: STORED_PEN_WIDTH.

    Returns:
        uint8 (side, side), white on black.
    """
    scale = side / FRAME
    lines = [points * scale for points in to_point_arrays(strokes)]
    if not isinstance(pen, Sequence):
        return draw_lines(lines, (side, side), (STORED_PEN_WIDTH if pen is None else pen) * scale)
    coarse = sum(map(len, lines)) > MAX_EXACT_POINTS
    widths = _quantize_pens(pen) if coarse else pen
    canvas = np.zeros((side, side), np.uint8)
    for width in set(widths):
        group = [line for line, line_width in zip(lines, widths, strict=True) if line_width == width]
        np.maximum(canvas, draw_lines(group, (side, side), width * scale, coarse=coarse), out=canvas)
    return canvas
