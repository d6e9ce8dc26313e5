"""Altered digits: outlines, remains of frames, tight crops, thin pens and damage, which MNIST does not contain.

The kinds of damage follow Mu and Gilmer, "MNIST-C: A Robustness Benchmark for Computer Vision" (2019), at random
strengths. `bench.kinds` measures similar images with other code, fixed strengths, other seeds and MNIST's test digits.
Write a sheet of examples, a row for each kind, with

    python -m ml.data.altered_digits sheet.png
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from ml.data.photo_simulation import thin
from ml.preprocessing import prepare_image
from ml.versions import SIDE

Rng = np.random.Generator
# Draws a (28, 28) uint8 digit, white ink on black, as a (h, w) uint8 image.
Alteration = Callable[[np.ndarray, Rng], np.ndarray]
# Ink begins at this value, about half of a stroke's brightness.
_INK_THRESHOLD = 110
_SHIFT = 4  # fractional bits of the fixed-point coordinates for OpenCV
# Smallest correlation with the original; below it, preprocessing found something other than the digit, or the damage
# hides it.
MIN_LIKENESS = 0.6


def enlarge(digit: np.ndarray, scale: float) -> np.ndarray:
    """Enlarge a digit and sharpen its edge, (h, w) float32 in 0..1."""
    large = cv2.resize(digit.astype(np.float32), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    blurred = cv2.GaussianBlur(large, (0, 0), 0.3 * scale)
    sharp: np.ndarray = np.clip((blurred - _INK_THRESHOLD) / 40 + 0.5, 0, 1)
    return sharp


def _to_pixels(ink: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = np.rint(np.clip(ink, 0, 1) * 255).astype(np.uint8)
    return pixels


def draw_outline(digit: np.ndarray, r: Rng) -> np.ndarray:
    """Draw the contour of the digit, as of a hollow letter: all points at one distance from the edge of the stroke."""
    scale = r.uniform(2.5, 8)
    size = 20 * scale
    margin = round(0.25 * size)
    inside = (enlarge(digit, scale) > 0.5).astype(np.uint8)
    mask = cv2.copyMakeBorder(inside, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    distance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5) - cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    offset, half_width = r.uniform(-0.01, 0.07) * size, max(0.5, r.uniform(0.006, 0.03) * size)
    return _to_pixels(half_width + 0.5 - np.abs(distance - offset))


def detect_edges(digit: np.ndarray, r: Rng) -> np.ndarray:
    """Return the edges of the digit in 28x28 or twice that size, by Canny's detector."""
    scale = int(r.choice([1, 1, 2]))
    large = cv2.resize(digit, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    blurred = cv2.GaussianBlur(large, (0, 0), scale * r.uniform(0.5, 1.4))
    low = r.uniform(30, 100)
    return cv2.Canny(blurred, low, low * r.uniform(1.5, 3), L2gradient=bool(r.random() < 0.5))


def _draw_path(digit: np.ndarray, points: np.ndarray, r: Rng) -> np.ndarray:
    """Draw a line of about one pixel over the digit; points are (n, 2), x and y."""
    layer = np.zeros((4 * SIDE, 4 * SIDE), np.uint8)
    fixed = np.rint(points * 4 * 2**_SHIFT).astype(np.int32)
    cv2.polylines(layer, [fixed], False, r.uniform(150, 255), int(r.integers(3, 7)), cv2.LINE_AA, _SHIFT)
    drawn: np.ndarray = np.maximum(digit, cv2.resize(layer, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return drawn


def _random_chord(r: Rng) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the start of a random line across the image, its unit direction, and its length."""
    angle = r.choice([0.0, 0.0, np.pi / 2]) + r.normal(0, 0.5)
    direction = np.array([np.cos(angle), np.sin(angle)])
    length = r.uniform(20, 34)
    return SIDE / 2 + r.normal(0, 5, 2) - direction * length / 2, direction, length


def add_zigzag(digit: np.ndarray, r: Rng) -> np.ndarray:
    """Draw a zigzag line across the digit."""
    start, direction, length = _random_chord(r)
    steps = np.arange(0, length, r.uniform(1.3, 3.2))
    sway = np.where(np.arange(len(steps)) % 2, 1, -1) * r.uniform(0.8, 2.8) + r.normal(0, 0.15, len(steps))
    across = np.array([-direction[1], direction[0]])
    return _draw_path(digit, start + steps[:, None] * direction + sway[:, None] * across, r)


def add_dotted_line(digit: np.ndarray, r: Rng) -> np.ndarray:
    """Draw a dotted or dashed line across the digit."""
    start, direction, length = _random_chord(r)
    spacing = r.uniform(2, 5)
    dash = r.uniform(0, 0.4) * spacing
    out = digit
    for step in np.arange(0, length, spacing):
        out = _draw_path(out, start + np.outer([step, step + dash], direction), r)
    return out


def add_spatter(digit: np.ndarray, r: Rng) -> np.ndarray:
    """Add soft spots of various sizes, as of mud or coffee."""
    layer = np.zeros((4 * SIDE, 4 * SIDE), np.float32)
    for _ in range(r.integers(3, 30)):
        x, y = r.uniform(0, 4 * SIDE, 2).tolist()
        cv2.circle(layer, (round(x), round(y)), round(4 * r.gamma(2, 0.6)) + 1, r.uniform(0.3, 0.9), cv2.FILLED)
    spots = cv2.resize(layer, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    spots = cv2.GaussianBlur(spots, (0, 0), r.uniform(0.4, 0.9))
    return _to_pixels(digit / 255 + spots)


def add_impulse_noise(digit: np.ndarray, r: Rng) -> np.ndarray:
    """Set some pixels to black or white."""
    out = digit.copy()
    hit = r.random(digit.shape) < r.uniform(0.04, 0.24)
    out[hit] = np.where(r.random(int(hit.sum())) < r.uniform(0.3, 0.7), 255, 0)
    return out


def blur_as_glass(digit: np.ndarray, r: Rng) -> np.ndarray:
    """Take each pixel from a random place nearby, between two slight blurs."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    reach = r.uniform(0.7, 2.4)
    image = cv2.GaussianBlur(digit, (0, 0), r.uniform(0.4, 0.9))
    for _ in range(r.integers(1, 3)):
        shift_x, shift_y = r.uniform(-reach, reach, (2, SIDE, SIDE)).astype(np.float32)
        image = cv2.remap(image, x + shift_x, y + shift_y, cv2.INTER_NEAREST)
    return cv2.GaussianBlur(image, (0, 0), r.uniform(0.4, 0.9))


def _crop_to_ink(ink: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Crop an image to its ink plus margins (top, bottom, left, right), in heights of the ink; negative cuts it."""
    left, top, width, height = cv2.boundingRect((ink > 0.5).astype(np.uint8))
    size = max(width, height)
    grow = np.rint(margins * size).astype(int)
    pad = int(max(1, grow.max() + 1))
    padded = cv2.copyMakeBorder(ink, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    rows = slice(pad + top - grow[0], pad + top + height + grow[1])
    return padded[rows, pad + left - grow[2] : pad + left + width + grow[3]]


def crop_tightly(digit: np.ndarray, r: Rng) -> np.ndarray:
    """Crop the image at the edge of the ink, or slightly inside of it."""
    return _to_pixels(_crop_to_ink(enlarge(digit, r.uniform(1, 6)), r.uniform(-0.04, 0.05, 4)))


def add_frame_sides(digit: np.ndarray, r: Rng) -> np.ndarray:
    """Draw one or two sides of a frame at the digit, whole or as remains; whole frames are in `ml.data.outliers`."""
    scale = r.uniform(2, 6)
    ink = _crop_to_ink(enlarge(digit, scale), r.uniform(0.15, 0.6, 4))
    height, width = ink.shape
    inset = r.uniform(0, 0.08, 4) * min(height, width)
    left, top, right, bottom = inset[0], inset[1], width - 1 - inset[2], height - 1 - inset[3]
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    layer = np.zeros(ink.shape, np.uint8)
    first, pen = int(r.integers(4)), max(1, round(20 * scale * r.uniform(0.02, 0.08)))
    for side in range(first, first + int(r.integers(1, 3))):
        start, end = corners[side % 4], corners[(side + 1) % 4]
        begin, stop = (0.0, 1.0) if r.random() < 0.6 else np.sort(r.uniform(0, 1, 2)).tolist()
        line = np.rint(np.array([start + begin * (end - start), start + stop * (end - start)]) * 2**_SHIFT)
        cv2.polylines(layer, [line.astype(np.int32)], False, 255, pen, cv2.LINE_AA, _SHIFT)
    return _to_pixels(np.maximum(ink, layer / 255))


def thin_pen(digit: np.ndarray, r: Rng) -> np.ndarray:
    """Draw the digit with a pen of one pixel, without grey levels, as of a small canvas."""
    scale = r.uniform(0.9, 1.8)
    large = cv2.resize(digit, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return thin((large > _INK_THRESHOLD).astype(np.uint8))


# Name to alteration and its share.
ALTERATIONS: dict[str, tuple[Alteration, float]] = {
    "outline": (draw_outline, 0.2),
    "edges": (detect_edges, 0.12),
    "zigzag": (add_zigzag, 0.16),
    "dotted line": (add_dotted_line, 0.04),
    "spatter": (add_spatter, 0.1),
    "impulse noise": (add_impulse_noise, 0.14),
    "glass blur": (blur_as_glass, 0.14),
    "frame": (add_frame_sides, 0.03),
    "tight crop": (crop_tightly, 0.04),
    "thin pen": (thin_pen, 0.03),
}


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two 28x28 images, both blurred to reduce the influence of the stroke width."""
    a, b = (cv2.GaussianBlur(image.astype(np.float32), (0, 0), 2).ravel() for image in (first, second))
    return float(np.corrcoef(a, b)[0, 1])


def alter_digits(images: np.ndarray, r: Rng) -> np.ndarray:
    """Alter each digit in a random way and preprocess it.

    Args:
        images: (N, 28, 28) uint8, white ink on black.
        r: source of all randomness.

    Returns:
        (N, 28, 28) uint8; a digit that preprocessing does not find after the alteration is returned unchanged.
    """
    alterations, shares = zip(*ALTERATIONS.values(), strict=True)
    out = images.copy()
    for i, choice in enumerate(r.choice(len(alterations), len(images), p=shares)):
        image = alterations[choice](images[i], r)
        prepared = prepare_image(Image.fromarray(image if r.random() < 0.5 else 255 - image))
        if not prepared.blank and likeness(prepared.pixels, images[i]) >= MIN_LIKENESS:
            out[i] = prepared.pixels
    return out


def main() -> None:
    """Write a sheet of altered digits to the file in the first command line argument, a row for each kind."""
    from ml.data.mnist import load_mnist

    images, r = load_mnist().train_images, np.random.default_rng(1)
    rows = []
    for alteration, _ in ALTERATIONS.values():
        digits = images[r.integers(0, len(images), 30)]
        rows.append(np.hstack([prepare_image(Image.fromarray(alteration(digit, r))).pixels for digit in digits]))
    cv2.imwrite(sys.argv[1], np.vstack(rows))


if __name__ == "__main__":
    main()
