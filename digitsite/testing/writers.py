"""Simulated writers, each with an individual handwriting, for measurements and tests of learning.

A hand draws the shapes of `ml.data.digit_shapes` with constant habits: the preferred shape of each digit, slant, width
and curvature. The shipped model misreads `leaning_hands`, whose slant is outside of the distortions of training (and
is not undone by preprocessing, as a change of size would be), and `turning_hands`, many of whose digits it misreads
with high certainty. It reads `common_hands` well.

    python -m digitsite.testing.writers sheet.png
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import cv2
import numpy as np

from ml.data.digit_shapes import SHAPES
from ml.data.synthetic_digits import write_by_hand
from ml.preprocessing import FRAME, prepare_strokes

Strokes = list[list[list[float]]]


@dataclass(frozen=True)
class Hand:
    """Habits of one writer.

    Attributes:
        lean: Distance by which the top moves to the right for each unit of height; negative leans back.
        turn: Rotation in degrees.
        wide: Ratio of width to height.
        bow: Distance by which the middle is bent to the side, as a share of the height.
        habits: Index of the preferred shape for each digit, modulo the number of shapes.
    """

    lean: float
    turn: float
    wide: float
    bow: float
    habits: tuple[int, ...]

    def draw(self, digit: int, rng: np.random.Generator) -> Strokes:
        """Return the strokes of a digit in this handwriting, with random variation."""
        shapes = SHAPES[digit]
        # The preferred shape in four of five cases.
        shape = shapes[self.habits[digit] % len(shapes)] if rng.random() < 0.8 else shapes[rng.integers(len(shapes))]
        return [self._move(stroke) for stroke in write_by_hand(shape(rng), rng)]

    def _move(self, stroke: list[list[float]]) -> list[list[float]]:
        x, y = (np.array(axis) / FRAME - 0.5 for axis in stroke)
        x = x * self.wide - self.lean * y + self.bow * (1 - 4 * y**2)
        angle = np.deg2rad(self.turn)
        turned = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
        return [((axis * 0.7 + 0.5) * FRAME).round(2).tolist() for axis in turned]


def leaning_hands(n: int, seed: int) -> list[Hand]:
    """Return writers who lean far back and turn the paper."""
    rng = np.random.default_rng([seed, 11])
    return [
        Hand(
            lean=-rng.uniform(0.55, 0.8), turn=-rng.uniform(8, 18), wide=rng.uniform(0.9, 1.3),
            bow=rng.uniform(0.0, 0.12), habits=_habits(rng),
        )
        for _ in range(n)
    ]  # fmt: skip


def turning_hands(n: int, seed: int) -> list[Hand]:
    """Return writers who turn the paper far the other way."""
    rng = np.random.default_rng([seed, 14])
    return [
        Hand(
            lean=rng.uniform(-0.1, 0.2), turn=rng.uniform(24, 38), wide=rng.uniform(0.8, 1.1),
            bow=rng.uniform(-0.1, 0.0), habits=_habits(rng),
        )
        for _ in range(n)
    ]  # fmt: skip


def common_hands(n: int, seed: int) -> list[Hand]:
    """Return writers that the shipped model reads well."""
    rng = np.random.default_rng([seed, 12])
    return [
        Hand(
            lean=rng.uniform(-0.1, 0.3), turn=rng.normal(0, 4), wide=rng.uniform(0.85, 1.15),
            bow=rng.uniform(-0.03, 0.03), habits=_habits(rng),
        )
        for _ in range(n)
    ]  # fmt: skip


def _habits(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(number) for number in rng.integers(0, 30, 10))


def drawings(hands: list[Hand], n: int, seed: int) -> list[tuple[Hand, int, Strokes]]:
    """Return n drawings as hand, digit and strokes, balanced over digits and hands, in random order."""
    rng = np.random.default_rng([seed, 13])
    order = rng.permutation(n)
    result = []
    for i in order.tolist():
        hand, digit = hands[(i // 10) % len(hands)], i % 10
        result.append((hand, digit, hand.draw(digit, rng)))
    return result


def draw_images(hands: list[Hand], n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n drawings after preprocessing: images (n, 28, 28) and labels (n,), both uint8."""
    drawn = drawings(hands, n, seed)
    images = np.stack([prepare_strokes(strokes).pixels for _, _, strokes in drawn])
    return images, np.array([digit for _, digit, _ in drawn], np.uint8)


def main() -> None:
    """Write a sheet with one row for each digit, leaning hands on the left and common hands on the right."""
    halves = []
    for hands in (leaning_hands(5, 1), common_hands(5, 1)):
        images, labels = draw_images(hands, 400, 1)
        halves.append(np.vstack([np.hstack(images[labels == digit][:15]) for digit in range(10)]))
    cv2.imwrite(sys.argv[1], np.hstack(halves))


if __name__ == "__main__":
    main()
