"""The same digit, moved, drawn larger or smaller, inverted, recoloured or compressed, gets the same answer."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from PIL import Image

from digitsite.testing.drawings import jpeg, on_paper, placed
from ml.data.mnist import load_mnist
from ml.preprocessing import prepare_image
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import load_classifier

WHITE = (255, 255, 255)


def moved(digit: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    return 255 - placed(digit, 180, 280, seed=int(chance.integers(2**31)))


def resized(digit: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    return 255 - placed(digit, int(chance.integers(40, 401)), 440, seed=int(chance.integers(2**31)))


def inverted(digit: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    return 255 - digit


def recoloured(digit: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    while True:
        ink, paper = chance.integers(0, 256, (2, 3))
        if np.abs(ink - paper).max() >= 80:
            return on_paper(digit, tuple(ink), tuple(paper))


def compressed(digit: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    return jpeg(resized(digit, chance), 40)


@cache
def asked(number: int) -> tuple[np.ndarray, list[int]]:
    """The first test digits and what is answered to them as they are."""
    images = load_mnist().test_images[:number]
    return images, answers(list(images))


def answers(pictures: list[np.ndarray]) -> list[int]:
    prepared = [prepare_image(Image.fromarray(picture)) for picture in pictures]
    classifier = load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes())
    return [answer.digit for answer in classifier.answer(np.stack([p.pixels for p in prepared]))]


def share_unchanged(change, number: int) -> float:
    chance = np.random.default_rng(7)
    images, before = asked(number)
    return float(np.mean(np.array(answers([change(image, chance) for image in images])) == before))


CHANGES = pytest.mark.parametrize("change", [moved, resized, inverted, recoloured, compressed])


@CHANGES
def test_a_change_that_a_person_would_not_notice_rarely_changes_the_answer(change):
    assert share_unchanged(change, 150) >= 0.98


@pytest.mark.acceptance
@CHANGES
def test_a_change_keeps_995_of_1000_answers(change):
    # five thousand, for in one thousand five digits decide: luck
    assert share_unchanged(change, 5000) >= 0.995
