"""Photographs of digits, simulated: ink on all kinds of paper, in bad light, cut badly, through a poor camera.

MNIST shows digits that somebody has cut out and cleaned already. What a phone gives is a page with lines, shadows,
neighbours and noise, and what `ml.preprocessing` makes of it is not always clean either. `ml.training.datasets`
trains on such pictures; `bench.photographs` measures on them, kind by kind, where the truth is known for as many as
one likes. See a sheet of them, a row for each kind, with

    python -m ml.data.photo_simulation sheet.png
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

Rng = np.random.Generator
Range = tuple[float, float]
Colour = tuple[float, float, float]

# Pens: blue and black ball pens, red, green, and the brown of old ink, red green blue.
_INKS: tuple[Colour, ...] = ((25, 35, 120), (40, 60, 160), (30, 30, 35), (60, 60, 65), (150, 30, 40), (90, 65, 45))
_WHITE: tuple[Colour, ...] = ((245, 243, 238), (228, 228, 230), (210, 208, 200))
_CREAM: tuple[Colour, ...] = ((225, 205, 165), (205, 190, 150), (185, 160, 120))
_COLOURED: tuple[Colour, ...] = ((240, 225, 120), (160, 205, 235), (240, 170, 185), (170, 220, 170), (190, 150, 105))
_BOARD: tuple[Colour, ...] = ((35, 55, 45), (40, 42, 48), (60, 60, 62), (25, 40, 75))
_CHALK: tuple[Colour, ...] = ((225, 225, 215), (235, 225, 150), (200, 215, 235))
# MNIST's digits are enlarged so many times to find the middle lines of their strokes; ink begins at this level.
_THINNED, _EDGE = 3, 100
# Half the width of MNIST's strokes, in pixels of the 28x28.
_HALF_PEN = 1.3
# Ink that reaches so far from its edge, in the same pixels, is a blot: a loop run together, whose middle line would
# make a 7 of a 9. Such digits keep their pen.
_BLOT = 2.6
_MARKER: tuple[Colour, ...] = ((30, 30, 35), (25, 45, 140), (170, 30, 35), (20, 110, 60))


@dataclass(frozen=True)
class PhotoKind:
    """One kind of photograph. Pairs are ranges, drawn from evenly unless it says otherwise.

    Attributes:
        height: of the digit in the finished picture, in pixels, drawn evenly on a logarithmic scale.
        margin: paper on each of the four sides, in heights of the digit; negative cuts into the ink.
        pen: width of the strokes as a share of their own width; below 1 thinner.
        inks, papers: colours, of which one is taken.
        contrast: the ink covers the paper by this much, 1 is fully.
        grain: how unevenly the ink lies on the paper, as pencil and chalk do.
        light: how much darker the dim side is than the bright one.
        shadow: chance of a shadow's edge across the picture; it takes up to half of the light.
        gleam: chance of a lamp's reflection.
        ruled, squared: chance of printed lines.
        neighbours: chance, on either side, of another digit, mostly cut by the picture's edge.
        stop: chance of a full stop.
        print_through: chance that the other side of the sheet shines through.
        pixels: chance of a screen's grid of pixels, with its beat against the camera's.
        blur: of the camera, in pixels.
        noise: of the camera, in steps of 255.
        quality: of the JPEG.
    """

    height: Range = (45, 150)
    margin: Range = (0.15, 0.8)
    pen: Range = (0.5, 1.1)
    inks: Sequence[Colour] = _INKS
    papers: Sequence[Colour] = _WHITE
    contrast: Range = (0.7, 1.0)
    grain: Range = (0.0, 0.15)
    light: Range = (0.0, 0.3)
    shadow: float = 0.15
    gleam: float = 0.0
    ruled: float = 0.1
    squared: float = 0.05
    neighbours: float = 0.0
    stop: float = 0.0
    print_through: float = 0.05
    pixels: float = 0.0
    blur: Range = (0.3, 1.0)
    noise: Range = (0.5, 4.0)
    quality: Range = (45, 95)


KINDS: dict[str, PhotoKind] = {
    "plain": PhotoKind(shadow=0.0, ruled=0.0, squared=0.0),
    "shadow": PhotoKind(shadow=1.0, light=(0.1, 0.5), ruled=0.0, squared=0.0),
    "ruled": PhotoKind(ruled=1.0, squared=0.0, margin=(0.3, 1.0)),
    "squared": PhotoKind(ruled=0.0, squared=1.0, margin=(0.3, 1.0)),
    "shadow, ruled": PhotoKind(shadow=1.0, ruled=1.0, squared=0.0, light=(0.1, 0.4), margin=(0.3, 1.0)),
    "pencil": PhotoKind(inks=((70, 70, 75), (95, 95, 98)), contrast=(0.18, 0.55), grain=(0.2, 0.5), pen=(0.4, 0.9)),
    "pencil, ruled, shadow": PhotoKind(
        inks=((70, 70, 75), (95, 95, 98)), contrast=(0.25, 0.6), grain=(0.2, 0.4), pen=(0.4, 0.9),
        ruled=1.0, shadow=0.6, margin=(0.3, 1.0),
    ),
    "thin pen": PhotoKind(pen=(0.15, 0.4), height=(60, 200), margin=(0.3, 1.5)),
    "far away": PhotoKind(height=(50, 120), margin=(1.5, 4.0), pen=(0.4, 1.0), shadow=0.3),
    "tiny": PhotoKind(height=(16, 40), margin=(0.05, 0.4), blur=(0.3, 0.8), quality=(60, 95), ruled=0.0, squared=0.0),
    "naively shrunk": PhotoKind(
        height=(15, 24), margin=(0.1, 0.4), pen=(0.25, 0.8), blur=(0.2, 0.6), noise=(0, 2), quality=(80, 95),
        ruled=0.0, squared=0.0, shadow=0.1,
    ),
    "register": PhotoKind(
        height=(20, 60), margin=(0.02, 0.3), papers=_CREAM, inks=((70, 50, 40), (90, 65, 45), (40, 38, 40)),
        contrast=(0.4, 0.95), grain=(0.1, 0.4), neighbours=0.35, stop=0.4, ruled=0.3, squared=0.0,
        print_through=0.3, blur=(0.4, 1.0), quality=(40, 85),
    ),
    "neighbours": PhotoKind(neighbours=0.75, margin=(0.05, 0.45)),
    "cut": PhotoKind(margin=(-0.04, 0.25)),
    "coloured paper": PhotoKind(papers=_COLOURED),
    "chalk": PhotoKind(papers=_BOARD, inks=_CHALK, grain=(0.2, 0.5), contrast=(0.5, 0.95), ruled=0.0, squared=0.0),
    "whiteboard": PhotoKind(inks=_MARKER, gleam=0.6, light=(0.1, 0.4), pen=(0.6, 1.3), ruled=0.0, squared=0.0),
    "screen": PhotoKind(
        pixels=1.0, gleam=0.3, inks=((20, 20, 30), (30, 60, 200)), papers=((225, 230, 245), (200, 205, 225)),
        ruled=0.0, squared=0.0,
    ),
}  # fmt: skip
KINDS["dark screen"] = replace(KINDS["screen"], papers=((25, 25, 35), (50, 50, 60)), inks=((230, 230, 240),))


def simulate_photo(digit: np.ndarray, others: Sequence[np.ndarray], kind: PhotoKind, r: Rng) -> Image.Image:
    """Photograph a digit.

    Args:
        digit: (28, 28) uint8, white ink on black.
        others: the same, at least two, for neighbours and what shines through.
        kind: of photograph.
        r: decides everything.

    Returns:
        Mode RGB, or L for one in three: as a phone's file is when it is opened.
    """
    height = float(np.exp(r.uniform(*np.log(kind.height))))
    # drawn finer than it will be seen, so that a thin pen is thin and not just faint
    fine = float(np.clip(90 / height, 1.0, 4.0))
    mask = _ink(digit, height * fine, r.uniform(*kind.pen))
    ink, middle = _compose(mask, others, kind, r)
    rows, columns = ink.shape
    paper = _paper(rows, columns, kind, height * fine, r)
    if r.random() < kind.print_through:
        ghost = _ink(others[0], height * fine, 1.0)[:, ::-1]
        ghost = cv2.GaussianBlur(_pasted(np.zeros_like(ink), ghost, *r.integers(-10, 10, 2) + middle), (0, 0), 2)
        paper *= 1 - r.uniform(0.03, 0.12) * ghost[..., None]
    colour = np.array(kind.inks[r.integers(len(kind.inks))], np.float32)
    cover = ink * r.uniform(*kind.contrast)
    grain = r.uniform(*kind.grain)
    if grain > 0:
        texture = cv2.resize(r.random((rows // 2 + 1, columns // 2 + 1), np.float32), (columns, rows))
        cover *= 1 - grain * 2 * texture
    picture = paper + (colour - paper) * np.clip(cover, 0, 1)[..., None]
    picture *= _light(rows, columns, kind, r)
    if r.random() < kind.gleam:
        picture += _gleam(rows, columns, r)
    return _camera(picture, kind, 1 / fine, r)


def _ink(digit: np.ndarray, height: float, pen: float) -> np.ndarray:
    """(h, w) float32 0..1, cut to the ink: enlarged, with a sharp edge, and written with another pen."""
    side = max(20, round(28 * height / 20))
    large = cv2.resize(digit, None, fx=_THINNED, fy=_THINNED, interpolation=cv2.INTER_CUBIC)
    inside = (large > _EDGE).astype(np.uint8)
    if pen < 1 and cv2.distanceTransform(inside, cv2.DIST_L2, 5).max() < _BLOT * _THINNED:
        away = cv2.distanceTransform(255 - _skeleton(inside), cv2.DIST_L2, 5)
        away = cv2.resize(away, (side, side), interpolation=cv2.INTER_CUBIC) * (side / 28 / _THINNED)
        ink = np.clip(max(0.5, pen * _HALF_PEN * side / 28) + 0.5 - away, 0, 1)
    else:
        large = cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC)
        large = cv2.GaussianBlur(large, (0, 0), max(0.4, 0.012 * side))
        away = cv2.distanceTransform((large <= _EDGE).astype(np.uint8), cv2.DIST_L2, 5)
        ink = np.clip(max(0.0, pen - 1) * _HALF_PEN * side / 28 + 1 - away, 0, 1)
    left, top, wide, high = cv2.boundingRect((ink > 0.3).astype(np.uint8))
    return ink[top : top + high, left : left + wide].astype(np.float32)


def _skeleton(ink: np.ndarray) -> np.ndarray:
    """The middle lines of strokes, one pixel wide (Zhang and Suen, 1984): 0 and 1 to 0 and 255, (h, w) uint8."""
    lines = cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    while True:
        before = cv2.countNonZero(lines)
        for table in _DELETABLE:
            around = cv2.filter2D(lines, cv2.CV_8U, _AROUND, borderType=cv2.BORDER_CONSTANT)
            lines[cv2.LUT(around, table) > 0] = 0
        if cv2.countNonZero(lines) == before:
            return lines[1:-1, 1:-1] * 255


def _deletable(first: bool) -> np.ndarray:
    """For each of the 256 neighbourhoods, whether a pixel on the outside of a line may go: uint8 (256,)."""
    table = np.zeros(256, np.uint8)
    for code in range(256):
        p = [code >> bit & 1 for bit in range(8)]  # clockwise from the pixel above
        turns = sum(p[i] == 0 and p[(i + 1) % 8] == 1 for i in range(8))
        corners = (p[0] * p[2] * p[4], p[2] * p[4] * p[6]) if first else (p[0] * p[2] * p[6], p[0] * p[4] * p[6])
        table[code] = 2 <= sum(p) <= 6 and turns == 1 and not any(corners)
    return table


_AROUND = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)
_DELETABLE = (_deletable(True), _deletable(False))


def _compose(mask: np.ndarray, others: Sequence[np.ndarray], kind: PhotoKind, r: Rng) -> tuple[np.ndarray, np.ndarray]:
    """The digit with its margins and neighbours: float32 (h, w), and its top left corner, row and column."""
    high, wide = mask.shape
    size = max(high, wide)
    top, bottom, left, right = (round(size * m) for m in r.uniform(*kind.margin, 4))
    ink = np.zeros((max(8, top + high + bottom), max(8, left + wide + right)), np.float32)
    place = np.array([top, left])
    _pasted(ink, mask, top, left)
    for side in range(2):
        if r.random() < kind.neighbours:
            other = _ink(others[side], size * r.uniform(0.85, 1.1), 0.9)
            gap = round(size * r.uniform(0.08, 0.35))
            # most of it lies outside the picture
            seen = (left if side == 0 else right) - gap
            if seen > 0:
                column = left - gap - other.shape[1] if side == 0 else left + wide + gap
                _pasted(ink, other, top + round(size * r.uniform(-0.12, 0.12)), column)
    if r.random() < kind.stop:
        radius = size * r.uniform(0.03, 0.07)
        centre = (round(left + wide + size * r.uniform(0.08, 0.2)), round(top + high - radius))
        cv2.circle(ink, centre, max(1, round(radius)), 1.0, -1, cv2.LINE_AA)
    return ink, place


def _pasted(ink: np.ndarray, mask: np.ndarray, top: int, left: int) -> np.ndarray:
    """Put a mask into a picture of ink, as far as it lies inside; the picture is changed and returned."""
    rows = slice(max(0, top), min(ink.shape[0], top + mask.shape[0]))
    columns = slice(max(0, left), min(ink.shape[1], left + mask.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        part = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        ink[rows, columns] = np.maximum(ink[rows, columns], part)
    return ink


def _paper(rows: int, columns: int, kind: PhotoKind, height: float, r: Rng) -> np.ndarray:
    paper = np.full((rows, columns, 3), kind.papers[r.integers(len(kind.papers))], np.float32)
    stains = r.normal(0, 1, (max(2, rows // 40), max(2, columns // 40))).astype(np.float32)
    paper *= 1 + 0.012 * cv2.resize(stains, (columns, rows), interpolation=cv2.INTER_CUBIC)[..., None]
    squared = r.random() < kind.squared
    if squared or r.random() < kind.ruled:
        spacing = height * (r.uniform(0.45, 1.2) if squared else r.uniform(0.9, 2.0))
        colour = np.array(((90, 120, 190), (120, 120, 130), (60, 90, 150))[r.integers(3)], np.float32)
        strength, tilt = r.uniform(0.2, 0.75), r.normal(0, 0.02)
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        thick = max(0.6, height * r.uniform(0.006, 0.018))
        offset = r.uniform(0, spacing)
        lines = _lines(y + tilt * x + offset, spacing, thick)
        if squared:
            lines = np.maximum(lines, _lines(x - tilt * y + offset, spacing, thick))
        paper += (colour - paper) * (strength * lines)[..., None]
    return paper


def _lines(across: np.ndarray, spacing: float, thick: float) -> np.ndarray:
    return np.clip(thick + 0.5 - np.abs(across % spacing - spacing / 2), 0, 1)


def _light(rows: int, columns: int, kind: PhotoKind, r: Rng) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j].astype(np.float32)
    angle = r.uniform(0, 2 * np.pi)
    across = (np.cos(angle) * x + np.sin(angle) * y) / 1.4142
    light = 1 - r.uniform(*kind.light) * (0.5 + 0.5 * across) - r.uniform(0, 0.12) * (x * x + y * y) / 2
    if r.random() < kind.shadow:
        angle, edge = r.uniform(0, 2 * np.pi), np.exp(r.uniform(np.log(0.01), np.log(0.3)))
        bend = r.normal(0, 0.3)
        along = np.cos(angle) * x + np.sin(angle) * y
        aside = -np.sin(angle) * x + np.cos(angle) * y
        depth, place = r.uniform(0.15, 0.5), r.uniform(-0.7, 0.7)
        light *= 1 - depth / (1 + np.exp(-np.clip((along + bend * aside**2 - place) / edge, -30, 30)))
    return (light * r.uniform(0.6, 1.05))[..., None]


def _gleam(rows: int, columns: int, r: Rng) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j].astype(np.float32)
    cx, cy, size = *r.uniform(-1, 1, 2), r.uniform(0.15, 0.6)
    return (r.uniform(20, 90) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / size**2))[..., None]


def _camera(picture: np.ndarray, kind: PhotoKind, scale: float, r: Rng) -> Image.Image:
    """Reduce, blur, add the grid of a screen and noise, and store as a JPEG."""
    rows, columns = picture.shape[:2]
    size = (max(8, round(columns * scale)), max(8, round(rows * scale)))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    if r.random() < kind.pixels:
        picture *= _pixel_grid(*picture.shape[:2], r)
    picture = cv2.GaussianBlur(picture, (0, 0), r.uniform(*kind.blur))
    noise = r.uniform(*kind.noise)
    if noise > 0:
        picture = picture + r.normal(0, noise, (*picture.shape[:2], 1)) + r.normal(0, noise / 2, picture.shape)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    if r.random() < 0.33:
        image = image.convert("L")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(r.uniform(*kind.quality)))
    return Image.open(file)


def _pixel_grid(rows: int, columns: int, r: Rng) -> np.ndarray:
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    angle, period = r.normal(0, 0.1), r.uniform(2.05, 6.0)
    u, v = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    depth = r.uniform(0.03, 0.12)
    return (1 - depth * (np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period)))[..., None].astype(np.float32)


def main() -> None:
    """Write a sheet of photographs to the file named on the command line."""
    from ml.data.mnist import load_mnist

    images = load_mnist().train_images
    r = np.random.default_rng(1)
    rows = []
    for kind in KINDS.values():
        row = []
        for digit in images[r.permutation(len(images))[:14]]:
            others = images[r.integers(0, len(images), 2)]
            picture = simulate_photo(digit, others, kind, r).convert("RGB")
            picture.thumbnail((90, 90))
            tile = Image.new("RGB", (92, 92))
            tile.paste(picture)
            row.append(np.asarray(tile))
        rows.append(np.hstack(row))
    cv2.imwrite(sys.argv[1], np.vstack(rows)[..., ::-1])


if __name__ == "__main__":
    main()
