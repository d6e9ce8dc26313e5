"""Candidates: runs of neighbouring pieces that may be one digit, each with its 28x28 pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml.numbers.pieces import Piece, crop_labels, union

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ml.numbers.page import Box, Page

# Maximum number of pieces of one digit; small ones (bars, dots) do not count.
MAX_PIECES = 7
_SMALL_PIECE = 0.4
# Extra pieces looked at because small ones do not count.
_EXTRA_PIECES = 2
# Maximum width, minimum height and maximum inner gap of a digit, in digit heights.
_MAX_WIDTH, _MIN_HEIGHT, _MAX_GAP = 1.9, 0.35, 0.45
_MAX_CROSSED, _MAX_OVERLAP = 6.0, 1.5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run of neighbouring pieces as one digit.

    Attributes:
        first, last: indices of the first and the last piece.
        box: left, top, width, height of its full ink in pixels of the page.
        pixels: uint8 (28, 28).
        labels: labels of its pieces.
        area: number of ink pixels.
        components: number of components it has pieces of.
        crossed: ink that the cuts on its sides cross, in stroke widths.
        gap: widest empty gap inside, in digit heights.
        overlap: how far it and its neighbours lie above each other, in digit heights.
        stroke: width of its strokes in pixels.
    """

    first: int
    last: int
    box: Box
    pixels: np.ndarray
    labels: tuple[int, ...]
    area: int
    components: int
    crossed: float
    gap: float
    overlap: float
    stroke: float


def list_candidates(page: Page, pieces: Sequence[Piece], piece_map: np.ndarray, digit_height: float) -> list[Candidate]:
    """Return the runs of pieces that may be a digit by their size."""
    candidates = []
    for first in range(len(pieces)):
        gap, right = 0.0, pieces[first].right
        for last in range(first, min(len(pieces), first + MAX_PIECES + _EXTRA_PIECES)):
            run = pieces[first : last + 1]
            small = sum(piece.box[3] < _SMALL_PIECE * digit_height for piece in run)
            box = union([piece.box for piece in run])
            gap, right = max(gap, (run[-1].box[0] - right) / digit_height), max(right, run[-1].right)
            is_too_wide = box[2] > _MAX_WIDTH * digit_height and last > first
            if len(run) > MAX_PIECES + small or is_too_wide or gap > _MAX_GAP:
                break
            if box[3] < _MIN_HEIGHT * digit_height:
                continue
            labels = tuple(piece.label for piece in run)
            crop = crop_labels(page, piece_map, labels, box)
            if crop is None:
                continue
            before = pieces[first - 1] if first else None
            after = pieces[last + 1] if last + 1 < len(pieces) else None
            crossed = overlap = 0.0
            if before is not None:
                crossed += run[0].cut_left if before.component == run[0].component else 0.0
                overlap += max(0.0, before.right - box[0]) / digit_height
            if after is not None:
                crossed += run[-1].cut_right if after.component == run[-1].component else 0.0
                overlap += max(0.0, box[0] + box[2] - after.box[0]) / digit_height
            candidates.append(
                Candidate(
                    first=first,
                    last=last,
                    box=crop.box,
                    pixels=crop.pixels,
                    labels=labels,
                    area=sum(piece.area for piece in run),
                    components=len({piece.component for piece in run}),
                    crossed=min(crossed, _MAX_CROSSED),
                    gap=gap,
                    overlap=min(overlap, _MAX_OVERLAP),
                    stroke=crop.stroke,
                )
            )
    return candidates
