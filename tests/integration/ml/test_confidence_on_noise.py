"""What is no digit is never called one surely: nothing, a dot, a full picture, noise of every kind; and the calibration
that the shipped model states."""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from ml.evaluation.calibration import REFUSED_DIGIT_SHARE
from ml.preprocessing import prepare_image
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import Answer, load_classifier
from ml.serving.images import decode
from ml.serving.verdicts import Verdict

METRICS = json.loads((BASE_FOLDER / "metrics.json").read_text())


@pytest.fixture(scope="module")
def classifier():
    return load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes(), sha256=METRICS["bundle_sha256"])


def asked(classifier, pixels: np.ndarray, *, form: str = "PNG", **options: int) -> Answer:
    """The answer to a picture that goes the way of a visitor's: file, decoding, preprocessing, model."""
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, form, **options)
    prepared = prepare_image(decode(file.getvalue()))
    return classifier.answer(prepared.pixels[None], [prepared.ink])[0]


# --- Nothing, or hardly anything ---


@pytest.mark.parametrize("shade", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("shape", [(28, 28), (280, 280), (300, 200, 3), (1000, 40)])
def test_one_shade_is_blank(classifier, shade, shape):
    for form in ("PNG", "JPEG"):
        assert asked(classifier, np.full(shape, shade), form=form).verdict is Verdict.BLANK


@pytest.mark.parametrize("paper", [0, 255])
@pytest.mark.parametrize("radius", [0, 1, 3, 8, 20, 60])
@pytest.mark.parametrize("place", [(140, 140), (60, 200)])
def test_one_dot_is_never_sure(classifier, paper, radius, place):
    picture = np.full((280, 280), paper, np.uint8)
    cv2.circle(picture, place, radius, 255 - paper, -1, cv2.LINE_AA)
    verdict = asked(classifier, picture).verdict
    # a large one at the edge is cut and no dot any more
    assert verdict in (Verdict.BLANK, Verdict.NOT_A_DIGIT) or (radius == 60 and verdict is Verdict.UNSURE)


@pytest.mark.parametrize("paper", [0, 255])
def test_one_pixel_is_never_sure(classifier, paper):
    for side in (28, 280):
        picture = np.full((side, side), paper, np.uint8)
        picture[side // 2, side // 3] = 255 - paper
        assert asked(classifier, picture).verdict is not Verdict.SURE


# --- Noise ---


def gaussian(chance: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 128 + chance.normal(0, chance.uniform(1, 120), shape)


def coloured(chance: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 128 + chance.normal(0, chance.uniform(1, 120), (*shape, 3))


def one_sided(chance: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    noise = np.abs(chance.normal(0, chance.uniform(1, 120), shape))
    return noise if chance.random() < 0.5 else 255 - noise


def uniform(chance: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return chance.integers(0, 256, shape)


def salt_and_pepper(chance: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    share, where = 10 ** chance.uniform(-4, -0.5), chance.random(shape)
    return np.where(where < share, 0, np.where(where > 1 - share, 255, 128))


def scattered(chance: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    dots = 255 * (chance.random(shape) < 10 ** chance.uniform(-5, -0.3))
    return dots if chance.random() < 0.5 else 255 - dots


def speckle(chance: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 128 * (1 + chance.normal(0, chance.uniform(0.02, 0.8), shape))


def blurred(chance: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    noise = cv2.GaussianBlur(chance.normal(0, 1, shape), (0, 0), chance.uniform(0.5, shape[0] / 8))
    return 128 + noise * chance.uniform(20, 2000)


def clouds(chance: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    coarse = chance.normal(0, 1, (int(chance.integers(2, 30)),) * 2)
    return 128 + cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC) * chance.uniform(3, 150)


NOISES = [gaussian, coloured, one_sided, uniform, salt_and_pepper, scattered, speckle, blurred, clouds]


def answer_to_noise(classifier, noise, seed: int, number: int) -> Answer:
    """The answer to one picture of noise; every other one is a JPEG."""
    chance = np.random.default_rng([seed, number])
    height = int(chance.choice([28, 64, 100, 280, 400, 640]))
    pixels = noise(chance, (height, round(height * chance.uniform(0.5, 1.5))))
    form = {"form": "JPEG", "quality": int(chance.choice([10, 40, 75]))} if number % 2 else {"form": "PNG"}
    return asked(classifier, pixels, **form)


def sure_of_noise(classifier, noise, number: int, seed: int) -> list[str]:
    """Which of `number` pictures of noise are called a digit surely."""
    sure = []
    for i in range(number):
        answer = answer_to_noise(classifier, noise, seed, i)
        if answer.verdict is Verdict.SURE:
            sure.append(f"{noise.__name__} {i}: {answer.digit}")
    return sure


@pytest.mark.parametrize(("seed", "number"), [(10, 234), (10, 793), (11, 41), (11, 716)])
def test_a_pale_or_tiny_cloud_that_was_a_sure_1_is_not_sure(classifier, seed, number):
    assert answer_to_noise(classifier, clouds, seed, number).verdict is not Verdict.SURE


@pytest.mark.parametrize("noise", NOISES)
def test_noise_is_never_sure(classifier, noise):
    assert sure_of_noise(classifier, noise, 40, seed=9) == []


@pytest.mark.acceptance
@pytest.mark.parametrize("noise", NOISES)
def test_noise_is_sure_less_than_once_in_a_thousand(classifier, noise):
    sure = sure_of_noise(classifier, noise, 2000, seed=10)
    print(f"{len(sure)} of 2,000 are called a digit surely: {sure}")
    assert len(sure) < 2


# --- What the shipped model says of itself ---


def test_the_shipped_model_is_calibrated_on_mnist():
    assert METRICS["ece"] <= 0.002


def test_the_shipped_model_is_sure_often_and_then_right():
    assert METRICS["sure_share"] >= 0.9
    assert METRICS["sure_accuracy"] >= 0.995
    assert METRICS["sets"]["distorted"]["sure_accuracy"] >= 0.995


def test_the_shipped_model_refuses_non_digits_and_hardly_a_digit():
    assert METRICS["non_digits_not_sure"] >= 0.9
    assert METRICS["digits_refused"] <= REFUSED_DIGIT_SHARE
