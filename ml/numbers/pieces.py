"""Pieces: the components of a line, cut where digits may touch. The lattice joins neighbouring pieces to digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from ml.numbers.cuts import find_cuts
from ml.numbers.lines import MIN_DIGIT_SHARE
from ml.preprocessing.normalization import normalize
from ml.preprocessing.segmentation import estimate_stroke_width

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ml.numbers.page import Box, Component, Page


class Piece(NamedTuple):
    """A component, or what lies between two of its cuts.

    Attributes:
        label: its number in the map of pieces.
        box: left, top, width, height in pixels of the page.
        area: number of its pixels.
        component: label of the component it is a part of.
        touches_edge: the component reaches the edge of the image.
        cut_left, cut_right: ink crossed by the cuts on its sides, in stroke widths; 0 where nothing was cut.
    """

    label: int
    box: Box
    area: int
    component: int
    touches_edge: bool
    cut_left: float
    cut_right: float

    @property
    def right(self) -> int:
        """First column to the right of the box."""
        return self.box[0] + self.box[2]


class Crop(NamedTuple):
    """Ink fitted to the model's input: (28, 28) uint8 pixels, its box on the page, its stroke width in pixels."""

    pixels: np.ndarray
    box: Box
    stroke: float


def cut_line(
    page: Page, line: Sequence[Component], piece_map: np.ndarray, digit_height: float, uncut: Collection[int]
) -> list[Piece]:
    """Cut the components of a line into pieces.

    Args:
        page: the page.
        line: components of one line.
        piece_map: int32 (h, w), the piece of each pixel, 0 for none; the new pieces are added to it.
        digit_height: height of a digit of this line in pixels.
        uncut: labels of components that are single digits as they are.

    Returns:
        The pieces, from left to right.
    """
    label = int(piece_map.max())
    pieces: list[Piece] = []
    for part in line:
        left, top, width, height = part.box
        window = (slice(top, top + height), slice(left, left + width))
        region = page.labels[window] == part.label
        cuts = []
        if height > MIN_DIGIT_SHARE * digit_height and part.label not in uncut:
            cuts = find_cuts(np.where(region, page.alpha[window], 0), region, digit_height, page.stroke)
        index = np.zeros(region.shape, np.int32)
        for cut in cuts:
            index += np.arange(width) >= cut.columns[:, None]
        crossed = [0.0, *(cut.crossed for cut in cuts), 0.0]
        for i in range(len(cuts) + 1):
            selected = region & (index == i)
            x, y, wide, high = cv2.boundingRect(selected.astype(np.uint8))
            area = int(selected.sum())
            if area < 2:
                continue
            label += 1
            piece_map[window][selected] = label
            box = (left + x, top + y, wide, high)
            pieces.append(Piece(label, box, area, part.label, part.touches_edge, crossed[i], crossed[i + 1]))
    return sorted(pieces, key=lambda piece: piece.box[0] + piece.box[2] / 2)


def crop_labels(page: Page, label_map: np.ndarray, labels: Sequence[int], box: Box) -> Crop | None:
    """Fit the ink of some labels to the model's input; None if it has no full ink.

    Args:
        page: the page.
        label_map: int32 (h, w), `Page.labels` or a map of pieces.
        labels: what to crop.
        box: left, top, width, height around it.
    """
    left, top, width, height = box
    window = (slice(top, top + height), slice(left, left + width))
    return crop_region(page, np.isin(label_map[window], labels), (left, top))


def crop_region(page: Page, region: np.ndarray, corner: tuple[int, int]) -> Crop | None:
    """Fit the ink of a region to the model's input; None if it has no full ink.

    Args:
        page: the page.
        region: bool (h, w).
        corner: left and top of the region on the page.
    """
    left, top = corner
    window = (slice(top, top + region.shape[0]), slice(left, left + region.shape[1]))
    mask = region.astype(np.uint8) * 255
    core = cv2.bitwise_and(mask, page.core[window])
    if cv2.countNonZero(core) < 2:
        return None
    x, y, width, height = cv2.boundingRect(core)
    stroke = estimate_stroke_width(core[y : y + height, x : x + width])
    pixels = normalize(cv2.bitwise_and(mask, page.alpha[window]), (x, y, width, height), stroke)
    return Crop(pixels, (left + x, top + y, width, height), stroke)


def union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around some boxes."""
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
    return left, top, right - left, bottom - top
