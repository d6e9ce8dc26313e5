"""Strokes drawn on the canvas: checked, and rendered by us.

A stroke is `[[x…], [y…]]` or `[[x…], [y…], [t…]]` in a frame of FRAME x FRAME units, y downwards. Called by
the services that accept drawings (`parse_strokes`, `parse_pens`, `render_strokes`) and by
`ml.preprocessing.prepare_strokes`. Strokes are never read back from a screenshot: we know where the pen went,
so the model gets them at the width it was trained on, whatever the page looked like.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

FRAME = 280
MAX_STROKES = 200
MAX_POINTS = 10_000
# The pen of the kept picture: what the page's canvas draws, 20 units of 280.
STORED_PEN_WIDTH = 20.0
# A pointer that is held down may leave the canvas; beyond one frame on each side it is not a drawing any
# more.
_MARGIN = 1.0
# Pens between these are taken, in units of the frame: from a hairline to a third of the canvas.
MIN_PEN_WIDTH, MAX_PEN_WIDTH = 1.0, 100.0
_SHIFT = 4  # fractional bits in the coordinates that OpenCV draws with
# Drawings of more points are drawn to a pixel and not to a sixteenth of one: each wide anti-aliased line takes 4 to
# 15 us. A digit has a hundred points or two.
MAX_EXACT_POINTS = 500
# The kept picture of such a drawing has at most so many different pens.
MAX_COARSE_PENS = 4

Strokes = list[list[list[float]]]


class StrokesError(ValueError):
    """Strokes that cannot be used. The message says what to change; `code` is for programs.

    Codes: `empty`, `bad_shape`, `too_many`, `not_a_number`, `out_of_range`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_strokes(value: object, *, frame: float = FRAME) -> Strokes:
    """Check strokes that came from outside and bring them to FRAME.

    Args:
        value: decoded JSON: a list of strokes, each a list of two or three lists of numbers of one length: x,
            y and, optionally, milliseconds. Strokes without points are dropped.
        frame: side of the square canvas in the units of x and y.

    Returns:
        The strokes as lists of floats rounded to 2 decimals, x and y scaled so that the canvas is FRAME x
        FRAME.

    Raises:
        StrokesError: what is wrong, and where.
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
        lines = [_numbers(axis, number, low, high, scale) for axis in stroke[:2]]
        if len(stroke) == 3:
            lines.append(_numbers(stroke[2], number, -1e15, 1e15, 1.0))
        parsed.append(lines)
    if not parsed:
        raise StrokesError("empty", "Nothing is drawn yet. Please draw a digit.")
    return parsed


def parse_pens(value: object, strokes: list, *, frame: float = FRAME) -> list[float]:
    """Check the width of the pen that strokes were drawn with.

    Args:
        value: decoded JSON: one number for all strokes, or a list with one for each.
        strokes: what was sent and `parse_strokes` has taken.
        frame: side of the square canvas in the units of the widths.

    Returns:
        The width of each stroke that has points, in units of FRAME.

    Raises:
        StrokesError: what is wrong.
    """
    widths = value if isinstance(value, list | tuple) else [value] * len(strokes)
    if len(widths) != len(strokes):
        raise StrokesError("bad_shape", f"Give one width for all, or {len(strokes)}, one for each stroke.")
    unit = frame / FRAME
    for width in widths:
        if isinstance(width, bool) or not isinstance(width, int | float):
            raise StrokesError("not_a_number", "The width of the pen must be a number.")
        if not MIN_PEN_WIDTH * unit <= width <= MAX_PEN_WIDTH * unit:
            least, most = MIN_PEN_WIDTH * unit, MAX_PEN_WIDTH * unit
            raise StrokesError("out_of_range", f"On this canvas the pen must be {least:g} to {most:g} wide.")
    return [round(width / unit, 2) for width, stroke in zip(widths, strokes, strict=True) if stroke[0]]


def _check_shapes(value: list | tuple) -> None:
    """All lengths first: they cost nothing, and a million points must not be looked at one by one."""
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


def _numbers(axis: list | tuple, number: int, low: float, high: float, scale: float) -> list[float]:
    """Checked as a whole, not number by number: a drawing has some hundred."""
    kinds = set(map(type, axis))
    # bool is an int to Python, but true is no coordinate
    if bool in kinds or not all(issubclass(kind, int | float) for kind in kinds):
        raise StrokesError("not_a_number", f"Stroke {number} holds something that is not a number.")
    # a whole number may be too large for a float, but is finite
    if not all(map(math.isfinite, axis if kinds == {float} else filter(_is_float, axis))):
        raise StrokesError("not_a_number", f"Stroke {number} holds a number that is not finite.")
    if min(axis) < low or max(axis) > high:
        raise StrokesError("out_of_range", f"Stroke {number} leaves the canvas by far.")
    return [round(item * scale, 2) for item in axis]


def _is_float(item: float) -> bool:
    return isinstance(item, float)


def to_point_arrays(strokes: Strokes) -> list[np.ndarray]:
    """Each stroke as a float64 array (n, 2) of x and y."""
    return [np.array(stroke[:2], np.float64).T for stroke in strokes if len(stroke[0])]


def draw_lines(lines: list[np.ndarray], size: tuple[int, int], pen: float, *, coarse: bool = False) -> np.ndarray:
    """Draw poly-lines with round ends and joints, at a bounded cost.

    Args:
        lines: arrays (n, 2) of x, y in pixels, where 0 is the left edge of the first pixel; n = 1 gives a
            dot.
        size: height, width.
        pen: width in pixels.
        coarse: draw to a pixel, as happens with more than MAX_EXACT_POINTS points anyway.

    Returns:
        uint8 (height, width), 255 where the pen went, anti-aliased by a pixel.
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
    """Draw as `draw_lines` does, with edges that may lie a pixel beside the exact ones (two with the widest pens).

    The paths are drawn one pixel wide, and ink is what lies nearer to them than half the pen: the cost depends on the
    size of the picture and hardly on the number of points.
    """
    height, width = size
    # Paths outside of the picture reach into it.
    margin = math.ceil(pen / 2) + 1
    paths = np.full((height + 2 * margin, width + 2 * margin), 255, np.uint8)
    points = np.rint((np.concatenate(lines) - 0.5 + margin) * (1 << _SHIFT)).astype(np.int32)
    ends = np.cumsum([len(line) for line in lines]).tolist()
    fixed = [points[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    # A dot is a line from its point to its point.
    fixed = [line if len(line) > 1 else line.repeat(2, axis=0) for line in fixed]
    cv2.polylines(paths, fixed, False, 0, 1, cv2.LINE_8, _SHIFT)
    distance = cv2.distanceTransform(paths, cv2.DIST_L2, cv2.DIST_MASK_5)
    # OpenCV's anti-aliased lines, which this stands in for, reach half a pixel further than half the pen.
    reach = max(1, round(pen)) / 2 + 0.5
    ink = np.clip(reach + 0.5 - distance[margin:-margin, margin:-margin], 0, 1)
    return (ink * 255).astype(np.uint8)


def _fewer_pens(pens: Sequence[float]) -> list[float]:
    """The same widths, brought together to MAX_COARSE_PENS means of neighbouring ones."""
    distinct = np.unique(pens)
    means = {}
    for group in np.array_split(distinct, min(MAX_COARSE_PENS, len(distinct))):
        means |= dict.fromkeys(group.tolist(), float(group.mean()))
    return [means[width] for width in pens]


def render_strokes(strokes: Strokes, *, side: int = FRAME, pen: float | Sequence[float] | None = None) -> np.ndarray:
    """The drawing as a picture, as the visitor saw it: what is kept and shown.

    Args:
        strokes: as `parse_strokes` returns them.
        side: pixels of the square picture.
        pen: width of the pen in units of the frame, one for all strokes or one for each; KEPT_PEN unless given.

    Returns:
        uint8 (side, side), white on black.
    """
    scale = side / FRAME
    lines = [points * scale for points in to_point_arrays(strokes)]
    if not isinstance(pen, Sequence):
        return draw_lines(lines, (side, side), (STORED_PEN_WIDTH if pen is None else pen) * scale)
    coarse = sum(map(len, lines)) > MAX_EXACT_POINTS
    widths = _fewer_pens(pen) if coarse else pen
    canvas = np.zeros((side, side), np.uint8)
    for width in set(widths):
        drawn = [line for line, own in zip(lines, widths, strict=True) if own == width]
        np.maximum(canvas, draw_lines(drawn, (side, side), width * scale, coarse=coarse), out=canvas)
    return canvas
