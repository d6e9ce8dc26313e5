"""Which pixels an answer leaned on."""

import numpy as np
import pytest

from ml.serving import bundle
from ml.serving.classifier import load_classifier
from ml.serving.occlusion import explain, overlay


@pytest.fixture(scope="module")
def classifier():
    return load_classifier((bundle.BASE_FOLDER / bundle.BUNDLE_FILE).read_bytes())


def seven() -> np.ndarray:
    pixels = np.zeros((28, 28), np.uint8)
    pixels[5:8, 7:21] = 255
    for row in range(8, 24):
        left = 18 - (row - 8) // 2
        pixels[row, left : left + 3] = 255
    return pixels


def test_erasing_what_the_answer_leaned_on_costs_it_more_than_erasing_the_rest(classifier):
    pixels = seven()
    leaning = explain(classifier, pixels)
    assert leaning.shape == (28, 28)
    ink = np.argwhere(pixels)
    order = ink[np.argsort(leaning[pixels > 0])]
    third = len(order) // 3
    least, most = pixels.copy(), pixels.copy()
    least[tuple(order[:third].T)] = 0
    most[tuple(order[-third:].T)] = 0
    without_least, without_most = (answer.probabilities[7] for answer in classifier.answer(np.stack([least, most])))
    assert without_most < without_least


def test_only_ink_is_leaned_on_and_the_strongest_is_one(classifier):
    pixels = seven()
    leaning = explain(classifier, pixels)
    assert not leaning[pixels == 0].any()
    assert np.abs(leaning).max() == 1


def test_an_empty_picture_leans_on_nothing(classifier):
    assert not explain(classifier, np.zeros((28, 28), np.uint8)).any()


def test_the_explanation_is_the_same_each_time(classifier):
    assert np.array_equal(explain(classifier, seven()), explain(classifier, seven()))


def test_the_overlay_tells_for_from_against_by_colour():
    pixels = np.full((28, 28), 255, np.uint8)
    leaning = np.zeros((28, 28), np.float32)
    leaning[0, 0], leaning[0, 1] = 1, -1
    picture = overlay(pixels, leaning)
    speaks_for, speaks_against, indifferent = picture[0, 0], picture[0, 1], picture[5, 5]
    assert speaks_for[0] > speaks_for[2]
    assert speaks_against[2] > speaks_against[0]
    assert len(set(indifferent.tolist())) == 1
