"""Answers of the shipped model to synthetic digits and outliers."""

import numpy as np
import pytest

from ml.data.outliers import draw_outliers
from ml.data.synthetic_digits import draw_digits
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import load_classifier


@pytest.fixture(scope="module")
def classifier():
    return load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes())


def test_shipped_model_recognizes_synthetic_digits(classifier):
    images, labels = draw_digits(1000, seed=987)
    assert (classifier.logits(images).argmax(axis=1) == labels).mean() > 0.98


def test_shipped_model_is_rarely_sure_of_an_outlier(classifier):
    images = draw_outliers(500, seed=987)
    assert images.any(axis=(1, 2)).mean() > 0.97
    np.testing.assert_array_equal(images[:50], draw_outliers(50, seed=987))
    assert np.mean([answer.verdict == "sure" for answer in classifier.answer(images)]) < 0.1
