"""Digits drawn on the spot, and MNIST's digits put on all kinds of paper, for the tests of preprocessing."""

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
    """uint8 (side, side), white on black."""
    return render_strokes(strokes, side=side, pen=pen)


def on_paper(
    ink: np.ndarray, colour: np.ndarray | tuple[int, int, int], paper: np.ndarray | tuple[int, int, int]
) -> np.ndarray:
    """Ink (h, w), 0..255, on paper, each of one colour or a picture; uint8 (h, w, 3)."""
    weight = ink[..., None].astype(np.float32) / 255
    mixed = np.asarray(paper, np.float32) * (1 - weight) + np.asarray(colour, np.float32) * weight
    return mixed.clip(0, 255).astype(np.uint8)


def lamp_and_shadow(height: int, width: int, *, edge: float = 0.03, seed: int = 0) -> np.ndarray:
    """Paper as a camera sees it: brighter to one side, a shadow's edge across it, noise; float32 (h, w, 3)."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = 215 * (1 - 0.2 * x + 0.1 * y) * (1 - 0.3 / (1 + np.exp(-(x + 0.5 * y - 0.8) / edge)))
    return (light[..., None] * (1.0, 0.98, 0.93) + noise.normal(0, 3, (height, width, 1))).astype(np.float32)


def rule(
    paper: np.ndarray, spacing: int, *, squared: bool = False, strength: float = 60, tilt: float = 0.01
) -> np.ndarray:
    """Print lines on a picture of paper."""
    height, width = paper.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    lines = np.abs((y + tilt * x + spacing / 2) % spacing - spacing / 2) < 1
    if squared:
        lines |= np.abs((x - tilt * y + spacing / 2) % spacing - spacing / 2) < 1
    return paper - strength * lines[..., None]


def placed(digit: np.ndarray, height: int, canvas: int, *, seed: int = 0) -> np.ndarray:
    """An MNIST digit enlarged to `height` pixels (of its 20 of 28) somewhere on a canvas; uint8, white on black."""
    side = round(28 * height / 20)
    large = cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC)
    left, top, wide, high = cv2.boundingRect((large > 50).astype(np.uint8))
    place = np.random.default_rng(seed)
    x, y = int(place.integers(1, canvas - wide)), int(place.integers(1, canvas - high))
    out = np.zeros((canvas, canvas), np.uint8)
    out[y : y + high, x : x + wide] = large[top : top + high, left : left + wide]
    return out


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
