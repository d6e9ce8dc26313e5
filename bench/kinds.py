"""Named sets of digits as people really write and send them, made from MNIST's test digits with fixed seeds.

`bench.accuracy --kinds` measures them. Each kind is a function from an MNIST digit to the image that a visitor would
send. Write a sheet of examples, a row for each kind, with

    python -m bench.kinds sheet.png
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from bench.support import corruptions
from ml.data.digit_shapes import arc_points
from ml.data.mnist import load_mnist
from ml.data.photo_simulation import KINDS as PHOTO_KINDS
from ml.data.photo_simulation import simulate_photo
from ml.evaluation.folder_evaluation import LabelledImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.mnist import Mnist

Rng = np.random.Generator
# An opacity map, (h, w) float in 0..1.
Ink = np.ndarray
Kind = Callable[[np.ndarray, Rng], np.ndarray]
COUNT = 300


def enlarge(digit: np.ndarray, height: float, rng: Rng) -> Ink:
    """Return a digit with a sharp edge, cropped to its ink, at a height in pixels."""
    scale = height / 20
    side = round(28 * scale)
    large = cv2.GaussianBlur(
        cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC), (0, 0), max(0.4, 0.2 * scale)
    )
    ink = np.clip((large.astype(np.float32) - rng.uniform(80, 140)) / 255 * rng.uniform(3, 6) + 0.5, 0, 1)
    left, top, width, rise = cv2.boundingRect((ink > 0.5).astype(np.uint8))
    return ink[top : top + rise, left : left + width]


def add_margin(ink: Ink, *margins: float) -> Ink:
    """Add margins (top, bottom, left, right), in heights of the ink."""
    size = max(ink.shape)
    top, bottom, left, right = (max(0, round(size * margin)) for margin in margins)
    return cv2.copyMakeBorder(ink, top, bottom, left, right, cv2.BORDER_CONSTANT)


def colour(
    ink: Ink, rng: Rng, *, paper: tuple[float, float] = (235, 256), pen: tuple[float, float] = (0, 60)
) -> np.ndarray:
    """Return a grey image of dark ink on bright paper."""
    light, dark = rng.uniform(*paper), rng.uniform(*pen)
    return np.clip(light + (dark - light) * ink, 0, 255).astype(np.uint8)


def _line(ink: Ink, points: list[tuple[float, float]], width: float) -> None:
    """Draw a polyline into the ink."""
    scaled = np.round(np.array(points) * 16).astype(np.int32)
    layer = np.zeros(ink.shape, np.uint8)
    cv2.polylines(layer, [scaled], False, 255, max(1, round(width)), cv2.LINE_AA, 4)
    np.maximum(ink, layer.astype(np.float32) / 255, out=ink)


def boxed(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Draw a box or a cell with three or four sides around the digit, by hand or printed."""
    size = rng.uniform(60, 160)
    gap = rng.uniform(0.12, 0.5)
    ink = add_margin(enlarge(digit, size, rng), *(gap * rng.uniform(0.7, 1.3, 4) + rng.uniform(0.12, 0.5)))
    by_hand = rng.random() < 0.5
    height, width = ink.shape
    rows, columns = np.nonzero(ink > 0.3)
    g = gap * size
    left, right = max(3.0, columns.min() - g), min(width - 4.0, columns.max() + g)
    top, bottom = max(3.0, rows.min() - g), min(height - 4.0, rows.max() + g)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    if by_hand:
        corners = [(x + rng.normal(0, 0.025 * size), y + rng.normal(0, 0.025 * size)) for x, y in corners]
    start = int(rng.integers(4))
    ring = corners[:4][start:] + corners[:4][:start]
    ring.append(ring[0])
    _line(ink, ring[: 4 if rng.random() < 0.3 else 5], size * rng.uniform(0.015, 0.1 if by_hand else 0.05))
    return colour(ink, rng)


def framed(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Draw a black frame along the edges of the image."""
    size = rng.uniform(20, 160)
    ink = add_margin(enlarge(digit, size, rng), *rng.uniform(0.15, 0.5, 4))
    width = max(1, round(size * rng.uniform(0.02, 0.15)))
    ink = cv2.copyMakeBorder(ink, width, width, width, width, cv2.BORDER_CONSTANT, value=1)
    return colour(ink, rng, pen=(0, 20))


def framed_grey(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """White ink on a grey page with a black frame along the edges."""
    size = rng.uniform(20, 160)
    ink = add_margin(enlarge(digit, size, rng), *rng.uniform(0.15, 0.5, 4))
    width = max(1, round(size * rng.uniform(0.02, 0.15)))
    page = colour(ink, rng, paper=(70, 150), pen=(225, 256))
    return cv2.copyMakeBorder(page, width, width, width, width, cv2.BORDER_CONSTANT, value=int(rng.integers(20)))


def circled(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Draw a circle around the digit by hand."""
    size = rng.uniform(60, 140)
    ink = add_margin(enlarge(digit, size, rng), *rng.uniform(0.4, 0.8, 4))
    rows, columns = np.nonzero(ink > 0.3)
    x, y = (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2
    rx = min(x - 3, ink.shape[1] - x - 4, (np.ptp(columns) / 2 * 1.2 + size * rng.uniform(0.15, 0.4)))
    ry = min(y - 3, ink.shape[0] - y - 4, (np.ptp(rows) / 2 * 1.15 + size * rng.uniform(0.1, 0.3)))
    start, sweep = rng.uniform(0, 360), rng.uniform(345, 385)
    points = arc_points(x, y, rx, ry, start, start + sweep, 40)
    drift = 1 + np.linspace(0, rng.normal(0, 0.04), len(points))
    _line(
        ink,
        [(x + (px - x) * d, y + (py - y) * d) for (px, py), d in zip(points, drift, strict=True)],
        size * rng.uniform(0.02, 0.1),
    )
    return colour(ink, rng)


def underlined(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Underline the digit once or twice, by hand."""
    size = rng.uniform(60, 160)
    ink = add_margin(enlarge(digit, size, rng), 0.3, 0.55, 0.45, 0.45)
    rows, columns = np.nonzero(ink > 0.3)
    left, right = columns.min() - size * rng.uniform(0, 0.3), columns.max() + size * rng.uniform(0, 0.3)
    y, slope = rows.max() + size * rng.uniform(0.1, 0.25), rng.normal(0, 0.05) * size
    width = size * rng.uniform(0.03, 0.1)
    for number in range(1 if rng.random() < 0.8 else 2):
        base = y + number * (0.1 * size + width)
        bow = rng.normal(0, 0.015) * size
        _line(ink, [(left, base), ((left + right) / 2, base + slope / 2 + bow), (right, base + slope)], width)
    return colour(ink, rng)


def tight(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Crop to the ink, from 16 to 120 pixels, dark on bright or the reverse."""
    ink = enlarge(digit, float(np.exp(rng.uniform(np.log(16), np.log(120)))), rng)
    return colour(ink, rng) if rng.random() < 0.5 else 255 - colour(ink, rng)


def tall_stem(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Photograph the digit upright and cropped at head and foot, so that a stem is as tall as the image."""
    kind = PHOTO_KINDS["plain"]
    upright = deslant(digit)
    photo = np.asarray(simulate_photo(upright, [digit, digit], kind, rng).convert("RGB"))
    darkness = 255 - cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    mask = cv2.threshold(darkness, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
    _, top, _, rise = cv2.boundingRect(mask)
    slack = round(rise * rng.uniform(0, 0.05))
    return photo[max(0, top - slack) : top + rise + slack]


def deslant(digit: np.ndarray) -> np.ndarray:
    """Shear a digit upright by its second moments."""
    moments = cv2.moments(digit)
    shear = moments["mu11"] / moments["mu02"] if moments["mu02"] else 0.0
    matrix = np.array([[1, shear, -14 * shear], [0, 1, 0]], np.float32)
    return cv2.warpAffine(digit, matrix, (28, 28), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def hollow(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Draw the outline of the digit only."""
    size = rng.uniform(100, 200)
    ink = add_margin(enlarge(digit, size, rng), *rng.uniform(0.2, 0.5, 4))
    mask = (ink > 0.5).astype(np.uint8)
    reach = 2 * round(size * rng.uniform(0.02, 0.05)) + 1
    fat = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    outline = np.zeros(ink.shape, np.uint8)
    contours, _ = cv2.findContours(fat, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(outline, contours, -1, 255, max(1, round(size * rng.uniform(0.012, 0.04))), cv2.LINE_AA)
    return colour(outline.astype(np.float32) / 255, rng)


def _desk(shape: tuple[int, int], rng: Rng) -> np.ndarray:
    """Draw a desk of wood or plastic: (h, w, 3)."""
    tones = ((120, 85, 55), (90, 60, 40), (160, 120, 80), (60, 60, 65), (110, 115, 120))
    desk = np.full((*shape, 3), tones[int(rng.integers(len(tones)))], np.float32)
    noise = rng.normal(0, 1, (shape[0] // 3 + 1, 6)).astype(np.float32)
    grain = cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return desk * (1 + 0.07 * grain[..., None])


def sheet_on_desk(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Photograph a sheet with one digit that lies on a desk, seen at an angle."""
    height, width = int(rng.integers(500, 900)), int(rng.integers(500, 900))
    rise = round(0.7 * min(height, width))
    page_height, page_width = rise, round(rise * rng.uniform(0.65, 1.0))
    ink = np.zeros((page_height, page_width), np.float32)
    mark = enlarge(digit, rise * rng.uniform(0.25, 0.5), rng)
    top = int(rng.uniform(0.15, 0.85) * (page_height - mark.shape[0]))
    left = int(rng.uniform(0.15, 0.85) * (page_width - mark.shape[1]))
    ink[top : top + mark.shape[0], left : left + mark.shape[1]] = mark
    page = rng.uniform(205, 250) + (rng.uniform(20, 90) - 230) * ink
    corners = np.array([(0, 0), (page_width, 0), (page_width, page_height), (0, page_height)], np.float32)
    angle = rng.normal(0, 0.15)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    placed = (corners - corners.mean(0)) @ turn.T + (width / 2, height / 2) + rng.normal(0, 0.03 * rise, (4, 2))
    matrix = cv2.getPerspectiveTransform(corners, placed.astype(np.float32))
    flat = cv2.warpPerspective(np.clip(page, 0, 255).astype(np.float32), matrix, (width, height))
    cover = cv2.warpPerspective(np.ones_like(ink), matrix, (width, height))[..., None]
    image = _desk((height, width), rng) * (1 - cover) + flat[..., None] * cover
    return _photograph(image, rng)


def small_on_a4(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Photograph a whole A4 page with one small digit."""
    height, width = 1684, 1190
    image = np.full((height, width, 3), rng.uniform(200, 245), np.float32)
    mark = enlarge(digit, rng.uniform(25, 70), rng)
    top = int(rng.uniform(0.1, 0.85) * (height - mark.shape[0]))
    left = int(rng.uniform(0.1, 0.85) * (width - mark.shape[1]))
    window = image[top : top + mark.shape[0], left : left + mark.shape[1]]
    window += (rng.uniform(20, 90) - window) * mark[..., None]
    return _photograph(image, rng)


def _photograph(image: np.ndarray, rng: Rng) -> np.ndarray:
    """Add uneven light, blur and noise."""
    rows, columns = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 - rng.uniform(0, 0.25) * (0.5 + 0.35 * (np.cos(angle) * x + np.sin(angle) * y))
    blurred = cv2.GaussianBlur(image * light[..., None], (0, 0), rng.uniform(0.4, 1.0))
    noisy = blurred + rng.normal(0, rng.uniform(1, 4), (rows, columns, 1))
    photo: np.ndarray = np.clip(noisy, 0, 255).astype(np.uint8)
    return photo


KINDS: dict[str, Kind] = {
    "boxed": boxed,
    "black frame": framed,
    "white on grey, black frame": framed_grey,
    "circled": circled,
    "underlined": underlined,
    "tight crop": tight,
    "tall stem": tall_stem,
    "hollow": hollow,
    "sheet on a desk": sheet_on_desk,
    "small on A4": small_on_a4,
    "MNIST-C canny edges": corruptions.canny_edges,
    "MNIST-C zigzag": corruptions.zigzag,
    "MNIST-C dotted line": corruptions.dotted_line,
    "MNIST-C spatter": corruptions.spatter,
    "MNIST-C impulse noise": corruptions.impulse_noise,
    "MNIST-C glass blur": corruptions.glass_blur,
}
# Kinds of some digits only.
DIGITS = {"tall stem": (1, 4, 7, 9)}


def heart(rng: Rng) -> list[tuple[float, float]]:
    """Return the outline of a heart."""
    t = np.linspace(0, 2 * np.pi, 40)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return list(zip(x / 34, y / 34 * rng.uniform(0.8, 1.1), strict=True))


def leaf(rng: Rng) -> list[tuple[float, float]]:
    """Return the outline of a leaf with a stalk and sometimes a vein."""
    t = np.linspace(0, 1, 20)
    width = rng.uniform(0.15, 0.3) * np.sin(np.pi * t) ** rng.uniform(1.0, 1.6)
    stalk = [(0.0, 0.5 + rng.uniform(0.1, 0.3)), (0.0, 0.5)]
    right = list(zip(width, 0.5 - t, strict=True))
    vein = [(0.0, 0.5 - rng.uniform(0.3, 0.9))] if rng.random() < 0.5 else []
    return stalk + right + [(-x, y) for x, y in reversed(right)] + vein


def flower(rng: Rng) -> list[tuple[float, float]]:
    """Return the outline of a flower."""
    petals = int(rng.integers(4, 8))
    t = np.linspace(0, 2 * np.pi, 120)
    radius = 0.35 + rng.uniform(0.1, 0.2) * np.cos(petals * t)
    return list(zip(radius * np.cos(t), radius * np.sin(t), strict=True))


def bow(rng: Rng) -> list[tuple[float, float]]:
    """Return a bow with two loops and two ends."""
    t = np.linspace(0, 2 * np.pi, 60)
    loops = list(zip(0.5 * np.sin(t), rng.uniform(0.2, 0.35) * np.sin(2 * t), strict=True))
    return [(-0.3, 0.5), (0.0, 0.0), *loops, (0.3, 0.5)]


SHAPES = {"hearts": heart, "leaves": leaf, "flowers": flower, "bows": bow}


def draw_shape(name: str, rng: Rng) -> np.ndarray:
    """Draw one of SHAPES by hand on a canvas of 280 x 280."""
    points = np.array(SHAPES[name](rng))
    angle = rng.normal(0, 0.25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    size = rng.uniform(80, 200)
    wobble = np.cumsum(rng.normal(0, 0.004, points.shape), 0)
    points = (points @ turn.T + wobble) * size + 140
    ink = np.zeros((280, 280), np.float32)
    _line(ink, [(float(x), float(y)) for x, y in points], rng.uniform(4, 20))
    return colour(ink, rng)


def labelled_images(name: str, mnist: Mnist, count: int = COUNT) -> Iterator[LabelledImage]:
    """Yield the images of a kind with their labels. The same arguments give the same images."""
    seed = zlib.crc32(name.encode())
    if name in SHAPES:
        rng = np.random.default_rng(seed)
        for number in range(count // 4):
            yield LabelledImage(name=f"{name} {number}", image=Image.fromarray(draw_shape(name, rng)), label=name)
        return
    digits = DIGITS.get(name, tuple(range(10)))
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(np.isin(mnist.test_labels, digits))
    for row in rng.permutation(rows)[:count]:
        image = KINDS[name](mnist.test_images[row], rng)
        yield LabelledImage(
            name=f"{name} {row}", image=Image.fromarray(image), label=str(int(mnist.test_labels[row])), source=name
        )


def main() -> None:
    """Write a sheet of examples to the file in the first command line argument."""
    mnist = load_mnist()
    rows = []
    for name in (*KINDS, *SHAPES):
        row = []
        for sample in labelled_images(name, mnist, 40):
            image = Image.new("RGB", (0, 0)) if sample.image is None else sample.image.convert("RGB")
            image.thumbnail((76, 76))
            tile = Image.new("RGB", (80, 80), (90, 90, 200))
            tile.paste(image, (2, 2))
            row.append(np.asarray(tile))
        rows.append(np.hstack((row * 2)[:14]))
    cv2.imwrite(sys.argv[1], np.vstack(rows)[..., ::-1])


if __name__ == "__main__":
    main()
