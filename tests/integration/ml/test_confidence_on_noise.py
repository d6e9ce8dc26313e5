"""Confidence on images without a digit (uniform, dots, noise), and the calibration of the shipped model."""

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
from ml.serving.classifier import load_classifier
from ml.serving.images import decode
from ml.serving.verdicts import Answer, Verdict

METRICS = json.loads((BASE_FOLDER / "metrics.json").read_text())


@pytest.fixture(scope="module")
def classifier():
    return load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes(), sha256=METRICS["bundle_sha256"])


def classify(classifier, pixels: np.ndarray, *, form: str = "PNG", **options: int) -> Answer:
    """Return the answer to an image that is encoded, decoded, preprocessed and classified, as an upload is."""
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, form, **options)
    return classifier.answer_readings([prepare_image(decode(file.getvalue())).readings])[0]


# --- Uniform images and dots ---


@pytest.mark.parametrize("shade", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("shape", [(28, 28), (280, 280), (300, 200, 3), (1000, 40)])
def test_uniform_image_is_blank(classifier, shade, shape):
    for form in ("PNG", "JPEG"):
        assert classify(classifier, np.full(shape, shade), form=form).verdict is Verdict.BLANK


@pytest.mark.parametrize("paper", [0, 255])
@pytest.mark.parametrize("radius", [0, 1, 3, 8, 20, 60])
@pytest.mark.parametrize("centre", [(140, 140), (60, 200)])
def test_dot_is_never_sure(classifier, paper, radius, centre):
    image = np.full((280, 280), paper, np.uint8)
    cv2.circle(image, centre, radius, 255 - paper, -1, cv2.LINE_AA)
    verdict = classify(classifier, image).verdict
    # A large dot at the edge is cut, so it is no dot.
    assert verdict in (Verdict.BLANK, Verdict.NOT_A_DIGIT) or (radius == 60 and verdict is Verdict.UNSURE)


@pytest.mark.parametrize("paper", [0, 255])
def test_single_pixel_is_never_sure(classifier, paper):
    for side in (28, 280):
        image = np.full((side, side), paper, np.uint8)
        image[side // 2, side // 3] = 255 - paper
        assert classify(classifier, image).verdict is not Verdict.SURE


# --- Noise ---


def gaussian(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 128 + rng.normal(0, rng.uniform(1, 120), shape)


def coloured(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 128 + rng.normal(0, rng.uniform(1, 120), (*shape, 3))


def one_sided(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    noise = np.abs(rng.normal(0, rng.uniform(1, 120), shape))
    return noise if rng.random() < 0.5 else 255 - noise


def uniform(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.integers(0, 256, shape)


def salt_and_pepper(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    share, values = 10 ** rng.uniform(-4, -0.5), rng.random(shape)
    return np.where(values < share, 0, np.where(values > 1 - share, 255, 128))


def scattered(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    dots = 255 * (rng.random(shape) < 10 ** rng.uniform(-5, -0.3))
    return dots if rng.random() < 0.5 else 255 - dots


def speckle(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 128 * (1 + rng.normal(0, rng.uniform(0.02, 0.8), shape))


def blurred(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.normal(0, 1, shape), (0, 0), rng.uniform(0.5, shape[0] / 8))
    return 128 + noise * rng.uniform(20, 2000)


def clouds(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    coarse = rng.normal(0, 1, (int(rng.integers(2, 30)),) * 2)
    return 128 + cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC) * rng.uniform(3, 150)


NOISES = [gaussian, coloured, one_sided, uniform, salt_and_pepper, scattered, speckle, blurred, clouds]


def answer_to_noise(classifier, noise, seed: int, number: int) -> Answer:
    """Return the answer to one noise image. Every second image is a JPEG."""
    rng = np.random.default_rng([seed, number])
    height = int(rng.choice([28, 64, 100, 280, 400, 640]))
    pixels = noise(rng, (height, round(height * rng.uniform(0.5, 1.5))))
    form = {"form": "JPEG", "quality": int(rng.choice([10, 40, 75]))} if number % 2 else {"form": "PNG"}
    return classify(classifier, pixels, **form)


def sure_of_noise(classifier, noise, number: int, seed: int) -> list[str]:
    """Return the noise images out of `number` with the verdict "sure"."""
    sure = []
    for i in range(number):
        answer = answer_to_noise(classifier, noise, seed, i)
        if answer.verdict is Verdict.SURE:
            sure.append(f"{noise.__name__} {i}: {answer.digit}")
    return sure


@pytest.mark.parametrize(("seed", "number"), [(10, 234), (10, 793), (11, 41), (11, 716)])
def test_pale_or_tiny_cloud_is_not_sure(classifier, seed, number):
    assert answer_to_noise(classifier, clouds, seed, number).verdict is not Verdict.SURE


@pytest.mark.parametrize("number", [95, 157])
def test_noise_with_a_margin_is_not_sure(classifier, number):
    assert answer_to_noise(classifier, uniform, 99, number).verdict is not Verdict.SURE


@pytest.mark.parametrize("noise", NOISES)
def test_noise_is_never_sure(classifier, noise):
    assert sure_of_noise(classifier, noise, 40, seed=9) == []


@pytest.mark.acceptance
@pytest.mark.parametrize("noise", NOISES)
def test_noise_is_sure_less_than_once_in_1000_images(classifier, noise):
    sure = sure_of_noise(classifier, noise, 2000, seed=10)
    print(f'{len(sure)} of 2,000 have the verdict "sure": {sure}')
    assert len(sure) < 2


# --- Metrics of the shipped model ---


def test_shipped_model_is_calibrated_on_mnist():
    assert METRICS["ece"] <= 0.002


def test_shipped_model_is_usually_sure_and_then_correct():
    assert METRICS["sure_share"] >= 0.9
    assert METRICS["sure_accuracy"] >= 0.995
    assert METRICS["sets"]["distorted"]["sure_accuracy"] >= 0.995


def test_shipped_model_rejects_outliers_and_few_digits():
    assert METRICS["non_digits_not_sure"] >= 0.9
    assert METRICS["digits_refused"] <= REFUSED_DIGIT_SHARE
