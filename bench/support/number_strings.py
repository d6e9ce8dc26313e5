"""Images of numbers with known digits, composed of MNIST's test digits with fixed seeds.

Each kind is a way in which people write numbers: apart, touching, in the cells of a form, as a field that was cut out
of a scanned form, …
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.mnist import Mnist

Rng = np.random.Generator
# An opacity map, (h, w) float32 in 0..1.
Ink = np.ndarray
KINDS = (
    "apart", "close", "touching", "overlapping", "mixed sizes", "lines", "slanted",
    "ruled", "squared", "cells", "comb", "form field",
)  # fmt: skip
# Gap between two digits in heights of a digit, by kind.
_GAPS = {"apart": (0.15, 0.6), "close": (0.02, 0.15), "overlapping": (-0.12, 0.05), "mixed sizes": (-0.02, 0.4)}
_DEFAULT_GAP = (0.08, 0.45)
# Opacity from which two digits touch.
_TOUCHING = 0.35


@dataclass(frozen=True)
class Placed:
    """A digit: its ink, and the left and top of its box."""

    ink: Ink
    left: int
    top: int
    label: int

    @property
    def right(self) -> int:
        """First column to the right of the box."""
        return self.left + int(self.ink.shape[1])

    @property
    def bottom(self) -> int:
        """First row below the box."""
        return self.top + int(self.ink.shape[0])


@dataclass(frozen=True)
class NumberImage:
    """An image of a number: uint8 (h, w), and its text, the lines joined by line feeds."""

    pixels: np.ndarray
    text: str


def compose(kind: str, mnist: Mnist, seed: int) -> NumberImage:
    """Return an image of a number.

    Args:
        kind: one of KINDS.
        mnist: the data set; only its test digits are used.
        seed: the same seed gives the same image.
    """
    rng = np.random.default_rng([KINDS.index(kind), seed])
    height = float(np.exp(rng.uniform(np.log(28), np.log(90))))
    if kind in ("cells", "comb", "form field"):
        return _compose_form(kind, mnist, height, rng)
    rows = int(rng.integers(2, 5)) if kind == "lines" else 1
    rise = rng.uniform(0.1, 0.35) * rng.choice((-1, 1)) if kind == "slanted" else rng.uniform(-0.04, 0.04)
    spacing = height * rng.uniform(1.35, 1.9)
    style = _Style.draw(rng)
    lines = []
    for row in range(rows):
        line = _write(kind, mnist, rng, count=int(rng.integers(2, 9)), height=height, rise=rise, style=style)
        lines.append([Placed(item.ink, item.left, item.top + round(row * spacing), item.label) for item in line])
    margin = round(rng.uniform(0.15, 1.2) * height)
    ink = _paste([item for line in lines for item in line], margin)
    text = "\n".join("".join(str(item.label) for item in line) for line in lines)
    printed = np.zeros_like(ink)
    if kind in ("ruled", "squared"):
        _print_paper(printed, kind, height, rng)
        return NumberImage(_photograph(ink, printed, rng), text)
    finish = rng.choice(["canvas black", "canvas white", "photo"], p=[0.25, 0.3, 0.45])
    if finish == "photo":
        return NumberImage(_photograph(ink, printed, rng), text)
    values = 255 * ink if finish == "canvas black" else 255 - 255 * ink
    return NumberImage(values.astype(np.uint8), text)


@dataclass(frozen=True)
class _Style:
    """One person's hand: the slant of all digits and the width of the pen."""

    shear: float
    thickness: int

    @classmethod
    def draw(cls, rng: Rng) -> _Style:
        return cls(rng.uniform(-0.35, 0.35), int(rng.integers(0, 3)))


def _draw_digit(digit: np.ndarray, height: float, style: _Style, rng: Rng) -> Ink:
    scale = height / 20
    large = cv2.resize(digit, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    rows, columns = large.shape
    shear = style.shear + rng.uniform(-0.08, 0.08)
    matrix = np.array([[1, -shear, shear * rows / 2 + abs(shear) * rows / 2], [0, 1, 0]], np.float32)
    large = cv2.warpAffine(large, matrix, (columns + int(abs(shear) * rows) + 2, rows))
    if style.thickness:
        large = cv2.dilate(large, np.ones((style.thickness + 1, style.thickness + 1), np.uint8))
    left, top, width, rise = cv2.boundingRect((large > 60).astype(np.uint8))
    ink: Ink = large[top : top + rise, left : left + width].astype(np.float32) / 255
    return ink


def _write(kind: str, mnist: Mnist, rng: Rng, *, count: int, height: float, rise: float, style: _Style) -> list[Placed]:
    """Write digits one after the other."""
    line: list[Placed] = []
    for _ in range(count):
        i = int(rng.integers(len(mnist.test_images)))
        share = rng.uniform(0.7, 1.3) if kind == "mixed sizes" else rng.uniform(0.88, 1.12)
        ink = _draw_digit(mnist.test_images[i], height * share, style, rng)
        left = line[-1].right if line else 0
        if line and kind != "touching":
            left += round(rng.uniform(*_GAPS.get(kind, _DEFAULT_GAP)) * height)
        top = round(rng.uniform(-0.08, 0.08) * height + rise * left)
        item = Placed(ink, left, top, int(mnist.test_labels[i]))
        if line and kind == "touching":
            item = _move_until_touching(line[-1], item, height, rng)
        line.append(item)
    return line


def _move_until_touching(before: Placed, item: Placed, height: float, rng: Rng) -> Placed:
    """Move a digit to the left until its ink lies on that of the one before."""
    for left in range(item.left, item.left - int(0.6 * height), -1):
        moved = Placed(item.ink, left, item.top, item.label)
        if _shared_pixels(before, moved) >= max(2, 0.02 * height):
            # Some digits only nearly touch.
            return (
                moved
                if rng.random() > 0.35
                else Placed(item.ink, left + round(0.06 * height) + 1, item.top, item.label)
            )
    return item


def _shared_pixels(first: Placed, second: Placed) -> int:
    top, bottom = max(first.top, second.top), min(first.bottom, second.bottom)
    left, right = max(first.left, second.left), min(first.right, second.right)
    if top >= bottom or left >= right:
        return 0
    parts = [
        item.ink[top - item.top : bottom - item.top, left - item.left : right - item.left] > _TOUCHING
        for item in (first, second)
    ]
    return int(np.count_nonzero(parts[0] & parts[1]))


def _paste(items: Sequence[Placed], margin: int) -> Ink:
    """Return the ink of all digits with a margin around it."""
    left, top = min(item.left for item in items) - margin, min(item.top for item in items) - margin
    right, bottom = max(item.right for item in items) + margin, max(item.bottom for item in items) + margin
    ink = np.zeros((bottom - top, right - left), np.float32)
    for item in items:
        window = ink[item.top - top : item.bottom - top, item.left - left : item.right - left]
        np.maximum(window, item.ink, out=window)
    return ink


def _print_paper(printed: Ink, kind: str, height: float, rng: Rng) -> None:
    """Draw ruled or squared paper."""
    spacing, thickness = round(height * rng.uniform(1.0, 1.8)), 1 if height < 60 else 2
    for y in range(int(rng.integers(spacing)), printed.shape[0], spacing):
        printed[y : y + thickness] = 1
    if kind == "squared":
        for x in range(int(rng.integers(spacing)), printed.shape[1], spacing):
            printed[:, x : x + thickness] = 1
    printed *= rng.uniform(0.1, 0.3)


def _photograph(ink: Ink, printed: Ink, rng: Rng) -> np.ndarray:
    """Return a photo of ink on printed paper: uneven light, perhaps a shadow's edge, blur and noise."""
    y, x = np.mgrid[0 : 1 : ink.shape[0] * 1j, 0 : 1 : ink.shape[1] * 1j].astype(np.float32)
    light = rng.uniform(150, 235) * (1 + rng.uniform(-0.3, 0.3) * x + rng.uniform(-0.3, 0.3) * y)
    if rng.random() < 0.3:
        is_lit = x + rng.uniform(-1, 1) * y > rng.uniform(0.2, 1.0)
        light = np.where(is_lit, light * rng.uniform(0.55, 0.85), light).astype(np.float32)
        light = cv2.GaussianBlur(light, (0, 0), rng.uniform(1, 8))
    values = light * (1 - printed) * (1 - rng.uniform(0.35, 0.85) * ink)
    values = cv2.GaussianBlur(values.astype(np.float32), (0, 0), rng.uniform(0.4, 1.2))
    photo: np.ndarray = np.clip(values + rng.normal(0, rng.uniform(0, 4), ink.shape), 0, 255).astype(np.uint8)
    return photo


def _compose_form(kind: str, mnist: Mnist, height: float, rng: Rng) -> NumberImage:
    """Write digits into a printed field: cells, a comb, or one frame; a form field is cropped as by a scanner."""
    count = int(rng.integers(3, 11))
    pitch, box_height = height * rng.uniform(1.0, 1.6), height * rng.uniform(1.25, 1.7)
    style = _Style(rng.uniform(-0.25, 0.25), int(rng.integers(0, 2)))
    margin = height * rng.uniform(0.05, 0.3) if kind == "form field" else height * rng.uniform(0.2, 0.8)
    left, top = margin, margin
    shape = (round(box_height + 2 * margin), round(count * pitch + 2 * margin))
    ink, printed = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    text = ""
    for cell in range(count):
        i = int(rng.integers(len(mnist.test_images)))
        digit = _draw_digit(mnist.test_images[i], height * rng.uniform(0.85, 1.1), style, rng)
        wide = min(digit.shape[1], int(pitch * 0.95))
        digit = cv2.resize(digit, (wide, digit.shape[0]), interpolation=cv2.INTER_AREA)
        x = left + cell * pitch + (pitch - wide) * rng.uniform(0.3, 0.7)
        y = top + (box_height - digit.shape[0]) * rng.uniform(0.25, 0.75)
        window = ink[round(y) : round(y) + digit.shape[0], round(x) : round(x) + wide]
        np.maximum(window, digit[: window.shape[0], : window.shape[1]], out=window)
        text += str(int(mnist.test_labels[i]))
    frame = (left, top, left + count * pitch, top + box_height)
    layout = {"cells": "cells", "comb": "comb"}.get(kind) or str(
        rng.choice(["cells", "comb", "frame", "frame", "line"])
    )
    _print_field(printed, layout, rng, frame=frame, count=count, height=height)
    if kind == "form field":
        return NumberImage(_scan(ink, printed, height, rng), text)
    printed *= rng.uniform(0.25, 0.9)
    return NumberImage(_photograph(ink, printed, rng), text)


def _print_field(
    printed: Ink, layout: str, rng: Rng, *, frame: tuple[float, float, float, float], count: int, height: float
) -> None:
    """Draw the lines of a field: a frame, cells, a comb or a base line; whole, broken or dashed."""
    left, top, right, bottom = frame
    pitch = (right - left) / count
    lines = [((left, bottom), (right, bottom))]
    if layout != "line":
        lines += [((left, top), (left, bottom)), ((right, top), (right, bottom))]
    if layout in ("cells", "frame"):
        lines.append(((left, top), (right, top)))
    if layout in ("cells", "comb"):
        start = top if layout == "cells" else bottom - (bottom - top) * rng.uniform(0.2, 0.45)
        lines += [((left + i * pitch, start), (left + i * pitch, bottom)) for i in range(1, count)]
    thickness = max(1, round(height * rng.uniform(0.02, 0.05)))
    wear = rng.choice(["whole", "broken", "dashed"], p=[0.5, 0.3, 0.2])
    for (x0, y0), (x1, y1) in lines:
        length = max(1.0, np.hypot(x1 - x0, y1 - y0))
        layer = np.zeros(printed.shape, np.uint8)
        cv2.line(layer, (round(x0), round(y0)), (round(x1), round(y1)), 255, thickness, cv2.LINE_AA)
        line = layer.astype(np.float32) / 255
        if wear == "broken":
            for _ in range(int(rng.integers(1, 4))):
                t, gap = rng.uniform(0, 1), rng.uniform(0.05, 0.3) * length
                x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
                cv2.circle(line, (round(x), round(y)), max(1, round(gap / 2)), 0, -1)
        elif wear == "dashed":
            step = max(3.0, height * rng.uniform(0.1, 0.2))
            for t in np.arange(0, length, 2 * step) / length:
                x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
                cv2.circle(line, (round(x), round(y)), max(1, round(step / 2)), 0, -1)
        np.maximum(printed, line, out=printed)


def _scan(ink: Ink, printed: Ink, height: float, rng: Rng) -> np.ndarray:
    """Return a field cut from a scanned form: 30 to 100 pixels high, black and white or grey, perhaps a dark edge."""
    values = np.maximum(ink, printed * rng.uniform(0.6, 1.0))
    if rng.random() < 0.3:
        edge = max(1, round(height * rng.uniform(0.03, 0.12)))
        side = int(rng.integers(4))
        window = [values[:edge], values[-edge:], values[:, :edge], values[:, -edge:]][side]
        window[:] = 1
    if rng.random() < 0.25:  # remains of a label above the field
        width = int(values.shape[1] * rng.uniform(0.1, 0.4))
        start = int(rng.integers(0, values.shape[1] - width))
        for x in range(start, start + width, 4):
            values[: max(2, round(0.08 * height)), x : x + 2] = rng.uniform(0.4, 1.0)
    scale = rng.uniform(30, 100) / values.shape[0]
    size = (max(8, round(values.shape[1] * scale)), max(8, round(values.shape[0] * scale)))
    values = cv2.resize(values, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        values = (values > rng.uniform(0.3, 0.5)).astype(np.float32)
        binary: np.ndarray = np.where(values > 0, 0, 255).astype(np.uint8)
        return binary
    paper, pen = rng.uniform(215, 255), rng.uniform(0, 90)
    grey = paper + (pen - paper) * values + rng.normal(0, rng.uniform(0, 5), values.shape)
    scan: np.ndarray = np.clip(grey, 0, 255).astype(np.uint8)
    return scan
