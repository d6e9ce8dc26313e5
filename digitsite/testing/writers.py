"""Simulated people with a handwriting of their own, for measurements and tests of learning.

A hand draws the shapes of `ml.data.digit_shapes` with habits that never change: which way of writing each digit
it prefers, how it leans, how wide it writes, how it bends its lines. `leaning_hands` are a group that the shipped
model misreads: they lean far over, as many left-handed people do, beyond what distortions in training cover; no mere
change of size, which preprocessing would undo. `turning_hands` are another such group, of whose digits it misreads
many with certainty. `common_hands` are people as the model knows them.

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
    """One person's habits.

    Attributes:
        lean: how far the top moves to the right for each unit of height; negative leans back.
        turn: degrees by which everything is rotated.
        wide: width against height.
        bow: how far the middle of the digit is bent to the side, as a share of its height.
        habits: for each digit the number of the shape it prefers (modulo how many there are).
    """

    lean: float
    turn: float
    wide: float
    bow: float
    habits: tuple[int, ...]

    def draw(self, digit: int, rng: np.random.Generator) -> Strokes:
        """One digit as this person writes it, never twice the same; strokes within the frame."""
        shapes = SHAPES[digit]
        # a habit, and now and then another way
        chosen = shapes[self.habits[digit] % len(shapes)] if rng.random() < 0.8 else shapes[rng.integers(len(shapes))]
        return [self._move(stroke) for stroke in write_by_hand(chosen(rng), rng)]

    def _move(self, stroke: list[list[float]]) -> list[list[float]]:
        x, y = (np.array(axis) / FRAME - 0.5 for axis in stroke)
        x = x * self.wide - self.lean * y + self.bow * (1 - 4 * y**2)
        angle = np.deg2rad(self.turn)
        turned = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
        return [((axis * 0.7 + 0.5) * FRAME).round(2).tolist() for axis in turned]


def leaning_hands(n: int, seed: int) -> list[Hand]:
    """People who lean far back and turn the paper."""
    rng = np.random.default_rng([seed, 11])
    return [
        Hand(
            lean=-rng.uniform(0.55, 0.8), turn=-rng.uniform(8, 18), wide=rng.uniform(0.9, 1.3),
            bow=rng.uniform(0.0, 0.12), habits=_habits(rng),
        )
        for _ in range(n)
    ]  # fmt: skip


def turning_hands(n: int, seed: int) -> list[Hand]:
    """People who turn the paper far the other way."""
    rng = np.random.default_rng([seed, 14])
    return [
        Hand(
            lean=rng.uniform(-0.1, 0.2), turn=rng.uniform(24, 38), wide=rng.uniform(0.8, 1.1),
            bow=rng.uniform(-0.1, 0.0), habits=_habits(rng),
        )
        for _ in range(n)
    ]  # fmt: skip


def common_hands(n: int, seed: int) -> list[Hand]:
    """People as the model knows them."""
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
    """n drawings, each digit and each hand as often as the others, give or take one: hand, digit, strokes."""
    rng = np.random.default_rng([seed, 13])
    order = rng.permutation(n)
    made = []
    for i in order.tolist():
        hand, digit = hands[(i // 10) % len(hands)], i % 10
        made.append((hand, digit, hand.draw(digit, rng)))
    return made


def draw_images(hands: list[Hand], n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n drawings as the model sees them: (n, 28, 28) uint8 and labels (n,) uint8."""
    made = drawings(hands, n, seed)
    images = np.stack([prepare_strokes(strokes).pixels for _, _, strokes in made])
    return images, np.array([digit for _, digit, _ in made], np.uint8)


def main() -> None:
    """Write a sheet, one row a digit, leaning hands on the left and common ones on the right."""
    halves = []
    for hands in (leaning_hands(5, 1), common_hands(5, 1)):
        images, labels = draw_images(hands, 400, 1)
        halves.append(np.vstack([np.hstack(images[labels == digit][:15]) for digit in range(10)]))
    cv2.imwrite(sys.argv[1], np.hstack(halves))


if __name__ == "__main__":
    main()
