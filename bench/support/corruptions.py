"""Corruptions of MNIST digits, after Mu and Gilmer, "MNIST-C: A Robustness Benchmark for Computer Vision" (2019).

Implemented from the paper, at its severities. Each takes a (28, 28) uint8 digit and a source of randomness, and returns
the corrupted digit in the same form.
"""

from __future__ import annotations

import cv2
import numpy as np

Rng = np.random.Generator


def canny_edges(digit: np.ndarray, rng: Rng) -> np.ndarray:  # noqa: ARG001 - the signature of a kind
    """Return the edges of the digit."""
    return cv2.Canny(cv2.GaussianBlur(digit, (0, 0), 1.0), 60, 120, L2gradient=True)


def _random_ends(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Return a point near the left edge and one near the right edge, as x and y."""
    return np.array([rng.integers(0, 5), rng.integers(0, 28)]), np.array([rng.integers(23, 28), rng.integers(0, 28)])


def zigzag(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Draw a zigzag line across the digit."""
    start, end = _random_ends(rng)
    length = float(np.hypot(*(end - start)))
    along = (end - start) / length
    across = np.array([-along[1], along[0]])
    steps = np.arange(0, length, 2.0)
    points = [start + along * step + across * (2.0 if number % 2 else -2.0) for number, step in enumerate(steps)]
    scaled = np.round(np.array(points) * 16).astype(np.int32)
    return cv2.polylines(digit.copy(), [scaled], False, 255, 1, cv2.LINE_AA, 4)


def dotted_line(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Draw a dotted line across the digit."""
    start, end = _random_ends(rng)
    ink = digit.copy()
    length = float(np.hypot(*(end - start)))
    for step in np.arange(0, length, 3.0):
        x, y = np.rint(start + (end - start) * step / length).astype(int)
        ink[min(27, y), min(27, x)] = 255
    return ink


def spatter(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Add spots, as of mud."""
    liquid = cv2.GaussianBlur(rng.normal(0.65, 0.3, (28, 28)).astype(np.float32), (0, 0), 3)
    liquid[liquid < 0.68] = 0
    mask = (liquid > 0).astype(np.float32)
    spot = cv2.GaussianBlur(mask, (0, 0), 0.6)
    return (np.clip(digit / 255 + 0.6 * spot, 0, 1) * 255).astype(np.uint8)


def impulse_noise(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Set 17 % of the pixels to black or white."""
    noisy = digit.copy()
    hit = rng.random(digit.shape) < 0.17
    noisy[hit] = np.where(rng.random(int(hit.sum())) < 0.5, 255, 0)
    return noisy


def glass_blur(digit: np.ndarray, rng: Rng) -> np.ndarray:
    """Swap pixels with their neighbours between two slight blurs."""
    image = cv2.GaussianBlur(digit, (0, 0), 0.7)
    for _ in range(2):
        for y in range(26, 0, -1):
            for x in range(26, 0, -1):
                dx, dy = rng.integers(-1, 2, 2)
                image[y, x], image[y + dy, x + dx] = image[y + dy, x + dx], image[y, x]
    return cv2.GaussianBlur(image, (0, 0), 0.7)
