"""Occlusion maps and their overlay."""

import numpy as np
import pytest

from ml.serving import bundle
from ml.serving.classifier import load_classifier
from ml.serving.occlusion import explain, overlay
from tests.image_samples import seven_pixels


@pytest.fixture(scope="module")
def classifier():
    return load_classifier((bundle.BASE_FOLDER / bundle.BUNDLE_FILE).read_bytes())


def test_erasing_supporting_ink_lowers_the_probability_most(classifier):
    pixels = seven_pixels()
    contribution = explain(classifier, pixels)
    assert contribution.shape == (28, 28)
    ink = np.argwhere(pixels)
    order = ink[np.argsort(contribution[pixels > 0])]
    third = len(order) // 3
    without_weakest, without_strongest = pixels.copy(), pixels.copy()
    without_weakest[tuple(order[:third].T)] = 0
    without_strongest[tuple(order[-third:].T)] = 0
    answers = classifier.answer(np.stack([without_weakest, without_strongest]))
    after_erasing_weakest, after_erasing_strongest = (answer.probabilities[7] for answer in answers)
    assert after_erasing_strongest < after_erasing_weakest


def test_only_ink_contributes_and_the_maximum_is_one(classifier):
    pixels = seven_pixels()
    contribution = explain(classifier, pixels)
    assert not contribution[pixels == 0].any()
    assert np.abs(contribution).max() == 1


def test_map_of_an_empty_image_is_zero(classifier):
    assert not explain(classifier, np.zeros((28, 28), np.uint8)).any()


def test_map_is_deterministic(classifier):
    assert np.array_equal(explain(classifier, seven_pixels()), explain(classifier, seven_pixels()))


def test_overlay_colours_support_and_contradiction_differently():
    pixels = np.full((28, 28), 255, np.uint8)
    contribution = np.zeros((28, 28), np.float32)
    contribution[0, 0], contribution[0, 1] = 1, -1
    image = overlay(pixels, contribution)
    support, contradiction, neutral = image[0, 0], image[0, 1], image[5, 5]
    assert support[0] > support[2]
    assert contradiction[2] > contradiction[0]
    assert len(set(neutral.tolist())) == 1
