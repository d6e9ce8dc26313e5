"""Closed loops as digits of their own: zeros written into each other share ink, which no cut gives to both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ml.numbers.candidates import Candidate
from ml.numbers.pieces import Piece, crop_region, union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.numbers.page import Page

# Minimum area of a hole, in squared digit heights, and the maximum number of neighbouring holes of one loop.
_MIN_HOLE, _MAX_HOLES = 0.01, 3
# Bounds of its height, in digit heights, and of its ratio of width to height.
_MIN_HEIGHT, _MIN_ASPECT, _MAX_ASPECT = 0.4, 0.2, 1.5
# A piece belongs to the loop with this share of its ink.
_MIN_SHARE = 0.55
# Cost of a loop, as if its cuts crossed this much ink.
_CROSSED = 0.6
_MIN_CORE = 8


def find_loops(page: Page, pieces: Sequence[Piece], piece_map: np.ndarray, digit_height: float) -> list[Candidate]:
    """Return the closed loops in components of several pieces as candidates."""
    loops = []
    for component in sorted({piece.component for piece in pieces}):
        own = [i for i, piece in enumerate(pieces) if piece.component == component]
        if len(own) > 1:
            loops += _loops_of(page, pieces, own, piece_map, digit_height)
    return loops


def _loops_of(
    page: Page, pieces: Sequence[Piece], own: Sequence[int], piece_map: np.ndarray, digit_height: float
) -> list[Candidate]:
    left, top, width, height = union([pieces[i].box for i in own])
    window = (slice(top, top + height), slice(left, left + width))
    region = (page.labels[window] == pieces[own[0]].component).astype(np.uint8)
    padded = cv2.copyMakeBorder(region, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    contours, hierarchy = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    min_area = _MIN_HOLE * digit_height**2
    holes = [
        contour - 1
        for contour, (_, _, _, parent) in zip(contours, hierarchy[0], strict=True)
        if parent >= 0 and cv2.contourArea(contour) > min_area
    ]
    holes.sort(key=lambda hole: cv2.boundingRect(hole)[0])
    labels = piece_map[window]
    loops = []
    for first in range(len(holes)):
        for last in range(first, min(len(holes), first + _MAX_HOLES)):
            hull = cv2.convexHull(np.concatenate(holes[first : last + 1]))
            _, _, wide, high = cv2.boundingRect(hull)
            if high < _MIN_HEIGHT * digit_height or not _MIN_ASPECT * high < wide < _MAX_ASPECT * high:
                continue
            inside = cv2.fillPoly(np.zeros_like(region), [hull], 1)
            reach = _dilate(inside, round(1.1 * page.stroke) | 1)
            shares = [int((reach[labels == pieces[i].label]).sum()) / pieces[i].area for i in own]
            selected = [i for i, share in zip(own, shares, strict=True) if share > _MIN_SHARE]
            if not selected or selected != list(range(selected[0], selected[-1] + 1)):
                continue
            ring = (reach > 0) & (region > 0) & (_erode(inside, max(1, int(0.5 * page.stroke)) | 1) == 0)
            crop = crop_region(page, ring, (left, top))
            if crop is None or cv2.countNonZero(page.core[window][ring]) < _MIN_CORE:
                continue
            loops.append(
                Candidate(
                    first=selected[0],
                    last=selected[-1],
                    box=crop.box,
                    pixels=crop.pixels,
                    labels=tuple(pieces[i].label for i in selected),
                    area=sum(pieces[i].area for i in selected),
                    components=1,
                    crossed=_CROSSED,
                    gap=0.0,
                    overlap=0.0,
                    stroke=crop.stroke,
                )
            )
    return loops


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    return cv2.dilate(mask, _disc(radius))


def _erode(mask: np.ndarray, radius: int) -> np.ndarray:
    return cv2.erode(mask, _disc(radius))
