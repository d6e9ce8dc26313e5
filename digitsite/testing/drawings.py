"""Drawn digits, and digits of MNIST on all kinds of paper, for the tests of preprocessing."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from ml.preprocessing.strokes import Strokes, render_strokes

SEVEN: Strokes = [[[80.0, 200.0, 130.0], [60.0, 60.0, 230.0]], [[100.0, 180.0], [140.0, 140.0]]]
FIVE: Strokes = [[[100, 95, 150, 185, 150, 90], [60, 130, 120, 170, 220, 215]], [[112, 190], [52, 48]]]
TWELVE: Strokes = [[[50.0, 50.0], [60.0, 220.0]], [[130, 190, 190, 130, 220], [80, 60, 120, 215, 215]]]


def drawing(strokes: Strokes = SEVEN, *, side: int = 280, pen: float = 20) -> np.ndarray:
    """Render strokes to an array of shape (side, side), uint8, white on black."""
    return render_strokes(strokes, side=side, pen=pen)


def on_paper(
    ink: np.ndarray, colour: np.ndarray | tuple[int, int, int], paper: np.ndarray | tuple[int, int, int]
) -> np.ndarray:
    """Blend ink onto paper.

    Args:
        ink: Coverage of shape (h, w), 0 to 255.
        colour: Colour of the ink, or an image of shape (h, w, 3).
        paper: Colour of the paper, or an image of shape (h, w, 3).

    Returns:
        An array of shape (h, w, 3), uint8.
    """
    weight = ink[..., None].astype(np.float32) / 255
    mixed = np.asarray(paper, np.float32) * (1 - weight) + np.asarray(colour, np.float32) * weight
    return mixed.clip(0, 255).astype(np.uint8)


def lamp_and_shadow(height: int, width: int, *, edge: float = 0.03, seed: int = 0) -> np.ndarray:
    """Simulate a photo of paper with a gradient, the edge of a shadow and noise: float32 of shape (h, w, 3)."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = 215 * (1 - 0.2 * x + 0.1 * y) * (1 - 0.3 / (1 + np.exp(-(x + 0.5 * y - 0.8) / edge)))
    photo: np.ndarray = light[..., None] * (1.0, 0.98, 0.93) + noise.normal(0, 3, (height, width, 1))
    return photo.astype(np.float32)


def rule(
    paper: np.ndarray, spacing: int, *, squared: bool = False, strength: float = 60, tilt: float = 0.01
) -> np.ndarray:
    """Add printed lines to an image of paper."""
    height, width = paper.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    lines = np.abs((y + tilt * x + spacing / 2) % spacing - spacing / 2) < 1
    if squared:
        lines |= np.abs((x - tilt * y + spacing / 2) % spacing - spacing / 2) < 1
    ruled: np.ndarray = paper - strength * lines[..., None]
    return ruled


def placed(digit: np.ndarray, height: int, canvas: int, *, seed: int = 0) -> np.ndarray:
    """Place an MNIST digit at a random position of a square canvas: uint8, white on black.

    Args:
        digit: Image of shape (28, 28).
        height: Height of the digit's 20x20 box on the canvas, in pixels.
        canvas: Side of the canvas in pixels.
        seed: Seed of the position.
    """
    side = round(28 * height / 20)
    large = cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC)
    left, top, wide, high = cv2.boundingRect((large > 50).astype(np.uint8))
    rng = np.random.default_rng(seed)
    x, y = int(rng.integers(1, canvas - wide)), int(rng.integers(1, canvas - high))
    out = np.zeros((canvas, canvas), np.uint8)
    out[y : y + high, x : x + wide] = large[top : top + high, left : left + wide]
    return out


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Return the pixels after JPEG compression."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
