"""Simulated photos of digits: various inks and papers, uneven light, inexact crops and a poor camera.

MNIST's digits are cropped and cleaned. A phone's photo shows a page with lines, shadows, neighbours and noise, and the
result of `ml.preprocessing` is not always clean. Simulation provides any number of photos with known labels, for
training and for benchmarks. Write a sheet of examples, a row for each kind, with

    python -m ml.data.photo_simulation sheet.png
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

Rng = np.random.Generator
Range = tuple[float, float]
Colour = tuple[float, float, float]

# Colours as red, green, blue. Pens: blue and black ball pens, red, and the brown of old ink.
_INKS: tuple[Colour, ...] = ((25, 35, 120), (40, 60, 160), (30, 30, 35), (60, 60, 65), (150, 30, 40), (90, 65, 45))
_WHITE: tuple[Colour, ...] = ((245, 243, 238), (228, 228, 230), (210, 208, 200))
_CREAM: tuple[Colour, ...] = ((225, 205, 165), (205, 190, 150), (185, 160, 120))
_COLOURED: tuple[Colour, ...] = ((240, 225, 120), (160, 205, 235), (240, 170, 185), (170, 220, 170), (190, 150, 105))
_BOARD: tuple[Colour, ...] = ((35, 55, 45), (40, 42, 48), (60, 60, 62), (25, 40, 75))
_CHALK: tuple[Colour, ...] = ((225, 225, 215), (235, 225, 150), (200, 215, 235))
# Scale of MNIST's digits while their strokes are thinned to centre lines, and the threshold of ink.
_THINNING_SCALE, _INK_THRESHOLD = 3, 100
# Half of the width of MNIST's strokes, in pixels of the 28x28.
_HALF_PEN = 1.3
# A digit with ink this far from its edge, in the same pixels, has a filled loop, whose centre line would turn a 9 into
# a 7. Such digits keep their stroke width.
_MIN_BLOT_RADIUS = 2.6
_MARKER: tuple[Colour, ...] = ((30, 30, 35), (25, 45, 140), (170, 30, 35), (20, 110, 60))


@dataclass(frozen=True)
class PhotoKind:
    """Parameters of one kind of photo. Pairs are ranges of a uniform distribution, unless stated otherwise.

    Attributes:
        height: height of the digit in the final image in pixels, log-uniform.
        margin: paper on each of the four sides, in heights of the digit; negative values cut into the ink.
        pen: width of the strokes relative to their original width.
        inks: colours of the ink.
        papers: colours of the paper.
        contrast: opacity of the ink, 1 is opaque.
        grain: unevenness of the ink, as of pencil and chalk.
        light: relative difference in brightness between the two sides.
        shadow: probability of a shadow's edge across the image; the shadow absorbs up to half of the light.
        glare: probability of a lamp's reflection.
        ruled: probability of printed lines.
        squared: probability of a printed grid.
        neighbours: probability, on either side, of another digit, usually cut by the edge of the image.
        full_stop: probability of a full stop.
        print_through: probability that the other side of the sheet is visible.
        pixel_grid: probability of a screen's pixel grid with a moiré pattern.
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
    glare: float = 0.0
    ruled: float = 0.1
    squared: float = 0.05
    neighbours: float = 0.0
    full_stop: float = 0.0
    print_through: float = 0.05
    pixel_grid: float = 0.0
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
    "far distance": PhotoKind(height=(50, 120), margin=(1.5, 4.0), pen=(0.4, 1.0), shadow=0.3),
    "tiny": PhotoKind(height=(16, 40), margin=(0.05, 0.4), blur=(0.3, 0.8), quality=(60, 95), ruled=0.0, squared=0.0),
    "naively shrunk": PhotoKind(
        height=(15, 24), margin=(0.1, 0.4), pen=(0.25, 0.8), blur=(0.2, 0.6), noise=(0, 2), quality=(80, 95),
        ruled=0.0, squared=0.0, shadow=0.1,
    ),
    "register": PhotoKind(
        height=(20, 60), margin=(0.02, 0.3), papers=_CREAM, inks=((70, 50, 40), (90, 65, 45), (40, 38, 40)),
        contrast=(0.4, 0.95), grain=(0.1, 0.4), neighbours=0.35, full_stop=0.4, ruled=0.3, squared=0.0,
        print_through=0.3, blur=(0.4, 1.0), quality=(40, 85),
    ),
    "neighbours": PhotoKind(neighbours=0.75, margin=(0.05, 0.45)),
    "cut": PhotoKind(margin=(-0.04, 0.25)),
    "coloured paper": PhotoKind(papers=_COLOURED),
    "chalk": PhotoKind(papers=_BOARD, inks=_CHALK, grain=(0.2, 0.5), contrast=(0.5, 0.95), ruled=0.0, squared=0.0),
    "whiteboard": PhotoKind(inks=_MARKER, glare=0.6, light=(0.1, 0.4), pen=(0.6, 1.3), ruled=0.0, squared=0.0),
    "screen": PhotoKind(
        pixel_grid=1.0, glare=0.3, inks=((20, 20, 30), (30, 60, 200)), papers=((225, 230, 245), (200, 205, 225)),
        ruled=0.0, squared=0.0,
    ),
}  # fmt: skip
KINDS["dark screen"] = replace(KINDS["screen"], papers=((25, 25, 35), (50, 50, 60)), inks=((230, 230, 240),))


def simulate_photo(
    digit: np.ndarray, neighbours: Sequence[np.ndarray] | np.ndarray, kind: PhotoKind, r: Rng
) -> Image.Image:
    """Simulate a photo of a digit.

    Args:
        digit: (28, 28) uint8, white ink on black.
        neighbours: at least two further digits, for neighbours and print-through.
        kind: parameters of the photo.
        r: source of all randomness.

    Returns:
        A JPEG image that is not loaded yet, as an opened file of a phone is: mode RGB, or L in a third of all cases.
    """
    height = float(np.exp(r.uniform(*np.log(kind.height))))
    # Drawn with more pixels than the final image has, so that a thin pen is thin and not merely faint.
    oversampling = float(np.clip(90 / height, 1.0, 4.0))
    mask = _draw_ink(digit, height * oversampling, r.uniform(*kind.pen))
    ink, corner = _compose(mask, neighbours, kind, r)
    rows, columns = ink.shape
    paper = _draw_paper(rows, columns, kind, height * oversampling, r)
    if r.random() < kind.print_through:
        ghost = _draw_ink(neighbours[0], height * oversampling, 1.0)[:, ::-1]
        ghost = cv2.GaussianBlur(_paste(np.zeros_like(ink), ghost, *r.integers(-10, 10, 2) + corner), (0, 0), 2)
        paper *= 1 - r.uniform(0.03, 0.12) * ghost[..., None]
    colour = np.array(kind.inks[int(r.integers(len(kind.inks)))], np.float32)
    cover = ink * r.uniform(*kind.contrast)
    grain = r.uniform(*kind.grain)
    if grain > 0:
        texture = cv2.resize(r.random((rows // 2 + 1, columns // 2 + 1), np.float32), (columns, rows))
        cover *= 1 - grain * 2 * texture
    image = paper + (colour - paper) * np.clip(cover, 0, 1)[..., None]
    image *= _draw_light(rows, columns, kind, r)
    if r.random() < kind.glare:
        image += _draw_glare(rows, columns, r)
    return _apply_camera(image, kind, 1 / oversampling, r)


def _draw_ink(digit: np.ndarray, height: float, pen: float) -> np.ndarray:
    """Enlarge a digit with a sharp edge and another stroke width, cropped to the ink.

    Args:
        digit: (28, 28) uint8.
        height: height of the digit in pixels.
        pen: width of the strokes relative to their original width.

    Returns:
        Opacity of the ink, (h, w) float32 in 0..1.
    """
    side = max(20, round(28 * height / 20))
    large = cv2.resize(digit, None, fx=_THINNING_SCALE, fy=_THINNING_SCALE, interpolation=cv2.INTER_CUBIC)
    inside = (large > _INK_THRESHOLD).astype(np.uint8)
    if pen < 1 and cv2.distanceTransform(inside, cv2.DIST_L2, 5).max() < _MIN_BLOT_RADIUS * _THINNING_SCALE:
        distance = cv2.distanceTransform(255 - thin(inside), cv2.DIST_L2, 5)
        distance = cv2.resize(distance, (side, side), interpolation=cv2.INTER_CUBIC) * (side / 28 / _THINNING_SCALE)
        ink = np.clip(max(0.5, pen * _HALF_PEN * side / 28) + 0.5 - distance, 0, 1)
    else:
        large = cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC)
        large = cv2.GaussianBlur(large, (0, 0), max(0.4, 0.012 * side))
        distance = cv2.distanceTransform((large <= _INK_THRESHOLD).astype(np.uint8), cv2.DIST_L2, 5)
        ink = np.clip(max(0.0, pen - 1) * _HALF_PEN * side / 28 + 1 - distance, 0, 1)
    left, top, wide, high = cv2.boundingRect((ink > 0.3).astype(np.uint8))
    cropped: np.ndarray = ink[top : top + high, left : left + wide].astype(np.float32)
    return cropped


def thin(ink: np.ndarray) -> np.ndarray:
    """Thin strokes to centre lines that are one pixel wide (Zhang and Suen, 1984).

    Args:
        ink: (h, w) uint8, 0 and 1.

    Returns:
        (h, w) uint8, 0 and 255.
    """
    lines = cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    while True:
        before = cv2.countNonZero(lines)
        for table in _DELETION_TABLES:
            codes = cv2.filter2D(lines, cv2.CV_8U, _NEIGHBOUR_BITS, borderType=cv2.BORDER_CONSTANT)
            lines[cv2.LUT(codes, table) > 0] = 0
        if cv2.countNonZero(lines) == before:
            return lines[1:-1, 1:-1] * 255


def _build_deletion_table(*, is_first_pass: bool) -> np.ndarray:
    """Build the table of the 256 neighbourhoods in which a pixel is deleted in a pass of thinning: uint8 (256,)."""
    table = np.zeros(256, np.uint8)
    for code in range(256):
        p = [code >> bit & 1 for bit in range(8)]  # clockwise from the pixel above
        transitions = sum(p[i] == 0 and p[(i + 1) % 8] == 1 for i in range(8))
        corners = (
            (p[0] * p[2] * p[4], p[2] * p[4] * p[6]) if is_first_pass else (p[0] * p[2] * p[6], p[0] * p[4] * p[6])
        )
        table[code] = 2 <= sum(p) <= 6 and transitions == 1 and not any(corners)
    return table


_NEIGHBOUR_BITS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)
_DELETION_TABLES = (_build_deletion_table(is_first_pass=True), _build_deletion_table(is_first_pass=False))


def _compose(
    mask: np.ndarray, neighbours: Sequence[np.ndarray] | np.ndarray, kind: PhotoKind, r: Rng
) -> tuple[np.ndarray, np.ndarray]:
    """Add margins and neighbours to a digit.

    Returns:
        Opacity of the ink, float32 (h, w), and the row and column of the digit's top left corner, int (2,).
    """
    high, wide = mask.shape
    size = max(high, wide)
    top, bottom, left, right = (round(size * m) for m in r.uniform(*kind.margin, 4))
    ink = np.zeros((max(8, top + high + bottom), max(8, left + wide + right)), np.float32)
    corner = np.array([top, left])
    _paste(ink, mask, top, left)
    for side in range(2):
        if r.random() < kind.neighbours:
            neighbour = _draw_ink(neighbours[side], size * r.uniform(0.85, 1.1), 0.9)
            gap = round(size * r.uniform(0.08, 0.35))
            # Most of the neighbour lies outside of the image.
            visible = (left if side == 0 else right) - gap
            if visible > 0:
                column = left - gap - neighbour.shape[1] if side == 0 else left + wide + gap
                _paste(ink, neighbour, top + round(size * r.uniform(-0.12, 0.12)), column)
    if r.random() < kind.full_stop:
        radius = size * r.uniform(0.03, 0.07)
        centre = (round(left + wide + size * r.uniform(0.08, 0.2)), round(top + high - radius))
        cv2.circle(ink, centre, max(1, round(radius)), 1.0, -1, cv2.LINE_AA)
    return ink, corner


def _paste(ink: np.ndarray, mask: np.ndarray, top: int, left: int) -> np.ndarray:
    """Paste a mask into the ink in place, clipped to its bounds. Return the ink."""
    rows = slice(max(0, top), min(ink.shape[0], top + mask.shape[0]))
    columns = slice(max(0, left), min(ink.shape[1], left + mask.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        visible = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        ink[rows, columns] = np.maximum(ink[rows, columns], visible)
    return ink


def _draw_paper(rows: int, columns: int, kind: PhotoKind, height: float, r: Rng) -> np.ndarray:
    """Draw paper with stains and printed lines, float32 (rows, columns, 3)."""
    paper = np.full((rows, columns, 3), kind.papers[int(r.integers(len(kind.papers)))], np.float32)
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
        lines = _draw_lines(y + tilt * x + offset, spacing, thick)
        if squared:
            lines = np.maximum(lines, _draw_lines(x - tilt * y + offset, spacing, thick))
        paper += (colour - paper) * (strength * lines)[..., None]
    return paper


def _draw_lines(across: np.ndarray, spacing: float, thick: float) -> np.ndarray:
    """Draw parallel lines: their opacity for each coordinate across the lines, 0..1."""
    return np.clip(thick + 0.5 - np.abs(across % spacing - spacing / 2), 0, 1)


def _draw_light(rows: int, columns: int, kind: PhotoKind, r: Rng) -> np.ndarray:
    """Draw the brightness of the light, float (rows, columns, 1)."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j].astype(np.float32)
    angle = r.uniform(0, 2 * np.pi)
    across = (np.cos(angle) * x + np.sin(angle) * y) / 1.4142
    light = 1 - r.uniform(*kind.light) * (0.5 + 0.5 * across) - r.uniform(0, 0.12) * (x * x + y * y) / 2
    if r.random() < kind.shadow:
        angle, edge = r.uniform(0, 2 * np.pi), np.exp(r.uniform(np.log(0.01), np.log(0.3)))
        bend = r.normal(0, 0.3)
        distance = np.cos(angle) * x + np.sin(angle) * y
        lateral = -np.sin(angle) * x + np.cos(angle) * y
        depth, position = r.uniform(0.15, 0.5), r.uniform(-0.7, 0.7)
        light *= 1 - depth / (1 + np.exp(-np.clip((distance + bend * lateral**2 - position) / edge, -30, 30)))
    brightness: np.ndarray = (light * r.uniform(0.6, 1.05))[..., None]
    return brightness


def _draw_glare(rows: int, columns: int, r: Rng) -> np.ndarray:
    """Draw the reflection of a lamp, float (rows, columns, 1)."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j].astype(np.float32)
    cx, cy, size = *r.uniform(-1, 1, 2), r.uniform(0.15, 0.6)
    glare: np.ndarray = (r.uniform(20, 90) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / size**2))[..., None]
    return glare


def _apply_camera(values: np.ndarray, kind: PhotoKind, scale: float, r: Rng) -> Image.Image:
    """Reduce, blur, add a pixel grid and noise, and store as a JPEG."""
    rows, columns = values.shape[:2]
    if scale < 1:
        size = (max(8, round(columns * scale)), max(8, round(rows * scale)))
        values = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    if r.random() < kind.pixel_grid:
        values *= _draw_pixel_grid(values.shape[0], values.shape[1], r)
    values = cv2.GaussianBlur(values, (0, 0), r.uniform(*kind.blur))
    noise = r.uniform(*kind.noise)
    if noise > 0:
        values = values + r.normal(0, noise, (*values.shape[:2], 1)) + r.normal(0, noise / 2, values.shape)
    image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    if r.random() < 0.33:
        image = image.convert("L")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(r.uniform(*kind.quality)))
    return Image.open(file)


def _draw_pixel_grid(rows: int, columns: int, r: Rng) -> np.ndarray:
    """Draw the brightness of a screen's pixel grid, float32 (rows, columns, 1)."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    angle, period = r.normal(0, 0.1), r.uniform(2.05, 6.0)
    u, v = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    depth = r.uniform(0.03, 0.12)
    waves = np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period)
    brightness: np.ndarray = (1 - depth * waves)[..., None].astype(np.float32)
    return brightness


def main() -> None:
    """Write a sheet of simulated photos to the file in the first command line argument."""
    from ml.data.mnist import load_mnist

    images = load_mnist().train_images
    r = np.random.default_rng(1)
    rows = []
    for kind in KINDS.values():
        row = []
        for digit in images[r.permutation(len(images))[:14]]:
            neighbours = images[r.integers(0, len(images), 2)]
            image = simulate_photo(digit, neighbours, kind, r).convert("RGB")
            image.thumbnail((90, 90))
            tile = Image.new("RGB", (92, 92))
            tile.paste(image)
            row.append(np.asarray(tile))
        rows.append(np.hstack(row))
    cv2.imwrite(sys.argv[1], np.vstack(rows)[..., ::-1])


if __name__ == "__main__":
    main()
