"""Invariance of answers to position, size, inversion, colour and compression."""

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


def move(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 255 - placed(digit, 180, 280, seed=int(rng.integers(2**31)))


def resize(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 255 - placed(digit, int(rng.integers(40, 401)), 440, seed=int(rng.integers(2**31)))


def invert(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 255 - digit


def recolour(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    while True:
        ink, paper = rng.integers(0, 256, (2, 3))
        if np.abs(ink - paper).max() >= 80:
            return on_paper(digit, tuple(ink), tuple(paper))


def compress(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return jpeg(resize(digit, rng), 40)


@cache
def original_answers(number: int) -> tuple[np.ndarray, list[int]]:
    """Return the first test images and the answers to them."""
    images = load_mnist().test_images[:number]
    return images, predict_digits(list(images))


def predict_digits(images: list[np.ndarray]) -> list[int]:
    readings = [prepare_image(Image.fromarray(image)).readings for image in images]
    classifier = load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes())
    return [answer.digit for answer in classifier.answer_readings(readings)]


def share_unchanged(change, number: int) -> float:
    rng = np.random.default_rng(7)
    images, before = original_answers(number)
    return float(np.mean(np.array(predict_digits([change(image, rng) for image in images])) == before))


CHANGES = pytest.mark.parametrize("change", [move, resize, invert, recolour, compress])


@CHANGES
def test_irrelevant_changes_rarely_change_the_answer(change):
    assert share_unchanged(change, 150) >= 0.98


@pytest.mark.acceptance
@CHANGES
def test_irrelevant_changes_keep_995_of_1000_answers(change):
    # 5,000 images, because among 1,000 only five answers would decide.
    assert share_unchanged(change, 5000) >= 0.995
