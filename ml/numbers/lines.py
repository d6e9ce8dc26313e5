"""Lines of writing: components of one page grouped into lines, top to bottom, each from left to right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml.numbers.page import Component, Page

# A component with at least this share of a digit's height begins or continues a line; smaller ones join one.
MIN_DIGIT_SHARE = 0.5
# Components this many times taller than a digit are drawings, frames or shadows.
_MAX_DIGIT_SHARE = 2.6
# Two components are in one line if they share at least this part of the height of the smaller one …
_MIN_OVERLAP = 0.3
# … with one of this many components before it, so that a line may rise or fall.
_MEMORY = 3
# … or with the position where its slope leads, from this number of components and up to this slope.
_MIN_TREND, _MAX_SLOPE = 3, 1.0
# Maximum distance of a small part (a bar, a dot) from a digit of its line, in digit heights.
_MAX_PART_DISTANCE = 0.6

Line = list["Component"]


def find_lines(page: Page) -> list[Line]:
    """Group the components of a page into lines."""
    height = page.digit_height
    large = [part for part in page.components if _is_large(part, height)]
    lines: list[Line] = []
    for part in sorted(large, key=lambda part: part.centre[0]):
        line = _find_line_of(part, lines)
        if line is None:
            lines.append([part])
        else:
            line.append(part)
    labels = {part.label for part in large}
    for part in page.components:
        is_long_rule = part.is_rule and part.box[2] > 1.2 * height
        if part.label in labels or is_long_rule or part.height > _MAX_DIGIT_SHARE * height:
            continue
        nearest = min(
            ((_distance(part, digit), line) for line in lines for digit in line if digit.label in labels),
            key=lambda pair: pair[0],
            default=None,
        )
        if nearest is not None and nearest[0] < _MAX_PART_DISTANCE * height:
            nearest[1].append(part)
    for line in lines:
        line.sort(key=lambda part: part.centre[0])
    return sorted(lines, key=lambda line: float(np.mean([part.centre[1] for part in line])))


def digits_of(line: Iterable[Component], digit_height: float) -> list[Component]:
    """Return the components of a line that are tall enough for a digit."""
    return [part for part in line if part.height >= MIN_DIGIT_SHARE * digit_height]


def _is_large(part: Component, digit_height: float) -> bool:
    is_drawing = part.height > _MAX_DIGIT_SHARE * digit_height and part.touches_edge
    return not part.is_rule and part.height >= MIN_DIGIT_SHARE * digit_height and not is_drawing


def _find_line_of(part: Component, lines: list[Line]) -> Line | None:
    """Return the line whose last components overlap a component most in height; None if no line does."""
    best, best_overlap = None, _MIN_OVERLAP
    for line in lines:
        for other, shift in [*((other, 0.0) for other in line[-_MEMORY:]), (line[-1], _expected_shift(part, line))]:
            top, bottom = other.box[1] + shift, other.bottom + shift
            overlap = (min(part.bottom, bottom) - max(part.box[1], top)) / min(part.height, other.height)
            if overlap > best_overlap:
                best, best_overlap = line, overlap
    return best


def _expected_shift(part: Component, line: Line) -> float:
    """Return how much lower than the last component of a line the next one is expected, in pixels."""
    if len(line) < _MIN_TREND:
        return 0.0
    first, last = line[-min(len(line), _MEMORY)].centre, line[-1].centre
    slope = (last[1] - first[1]) / max(1.0, last[0] - first[0])
    return slope * (part.centre[0] - last[0]) if abs(slope) <= _MAX_SLOPE else 0.0


def _distance(part: Component, other: Component) -> float:
    """Return the distance between two boxes in pixels."""
    gap_x = max(other.box[0] - part.right, part.box[0] - other.right, 0)
    gap_y = max(other.box[1] - part.bottom, part.box[1] - other.bottom, 0)
    return float(np.hypot(gap_x, gap_y))
