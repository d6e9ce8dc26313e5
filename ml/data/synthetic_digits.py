"""Synthetic digits: shapes that MNIST hardly contains, drawn with the variation of handwriting.

The shapes of `ml.data.digit_shapes` become smooth pen paths, which `ml.preprocessing` converts to 28x28 pixels, so the
training data passes the same steps as served images. Write a sheet of examples with

    python -m ml.data.synthetic_digits sheet.png
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
from PIL import Image

from ml.data.digit_shapes import SHAPES, PenLines, Rng
from ml.preprocessing import FRAME, prepare_image, prepare_strokes, render_strokes

# Share of each digit. Digits with the most variants that MNIST lacks have the largest share.
SHARES = np.array([6, 19, 7, 6, 20, 6, 8, 13, 5, 10]) / 100
# Side of rendered images in pixels, and of small ones, in which the pen is one pixel wide.
IMAGE_SIDE, SMALL_SIDE = 140, 28
# Pen widths in units of the frame, from a thin pen to a broad marker.
PEN_WIDTH_RANGE = (4.0, 34.0)


def smooth(line: np.ndarray, passes: int = 3) -> np.ndarray:
    """Round the corners of a line by Chaikin's corner cutting.

    Args:
        line: float (n, 2).
        passes: number of iterations; each about doubles the number of points.

    Returns:
        float (m, 2).
    """
    for _ in range(passes):
        before, after = line[:-1], line[1:]
        cut = np.stack([0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after], axis=1).reshape(-1, 2)
        line = np.concatenate([line[:1], cut, line[-1:]])
    return line


def write_by_hand(lines: PenLines, r: Rng) -> list[list[list[float]]]:
    """Add the variation of handwriting to ideal lines: jitter, slant, rotation, proportions, a slow tremor.

    Args:
        lines: pen lines of one digit.
        r: source of all randomness.

    Returns:
        Strokes in the middle of the frame, in the form of `ml.preprocessing.prepare_strokes`.
    """
    angle, slant, wide = np.deg2rad(r.normal(0, 6)), r.normal(0.05, 0.15), r.uniform(0.75, 1.25)
    if r.random() < 0.1:  # very wide or very narrow handwriting
        wide *= r.choice([0.7, 1.4])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[wide, -slant], [0, 1]])
    phase, waves, tremor = r.uniform(0, 6.3, 2), r.uniform(3, 9, 2), abs(r.normal(0, 0.012))
    paths = []
    for corners, is_round in lines:
        line = np.array(corners) + r.normal(0, 0.018, (len(corners), 2))
        line = smooth(line, 3) if is_round else smooth(line, 1) if r.random() < 0.5 else line
        paths.append((line + tremor * np.sin(waves * line[:, ::-1] * 2 + phase)) @ matrix.T)
    points = np.concatenate(paths)
    low, high = points.min(0), points.max(0)
    scale = FRAME * r.uniform(0.6, 0.85) / max(float((high - low).max()), 1e-6)
    centred = [(line - (low + high) / 2) * scale + FRAME / 2 for line in paths]
    return [[line[:, 0].tolist(), line[:, 1].tolist()] for line in centred]


def prepare_random_source(strokes: list[list[list[float]]], r: Rng) -> np.ndarray:
    """Convert strokes to (28, 28) uint8 pixels, randomly as strokes or as an image.

    Visitors submit strokes from the canvas, or images from a paint program with any pen width. Some of these are as
    small as the model's input.
    """
    kind = r.random()
    if kind < 0.5:
        return prepare_strokes(strokes).pixels
    side, pen = IMAGE_SIDE, float(np.exp(r.uniform(*np.log(PEN_WIDTH_RANGE))))
    if kind < 0.58:
        side, pen = SMALL_SIDE, 1.0
    image = render_strokes(strokes, side=side, pen=pen)
    if side == SMALL_SIDE and r.random() < 0.5:  # without grey levels
        image = np.where(image > 100, 255, 0).astype(np.uint8)
    return prepare_image(Image.fromarray(image)).pixels


def draw_digits(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw n digits. The same arguments give the same result.

    Returns:
        Images (n, 28, 28) uint8 and labels (n,) uint8.
    """
    r = np.random.default_rng([seed, 1])
    labels = r.choice(10, n, p=SHARES).astype(np.uint8)
    images = np.empty((n, 28, 28), np.uint8)
    for i, label in enumerate(labels):
        shapes = SHAPES[int(label)]
        images[i] = prepare_random_source(write_by_hand(shapes[r.integers(len(shapes))](r), r), r)
    return images, labels


def main() -> None:
    """Write a sheet of digits, one row for each, to the file in the first command line argument."""
    images, labels = draw_digits(4000, 1)
    rows = [np.hstack(images[labels == digit][:30]) for digit in range(10)]
    cv2.imwrite(sys.argv[1], np.vstack(rows))


if __name__ == "__main__":
    main()
