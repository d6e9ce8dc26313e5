"""Data augmentation and synthetic digits."""

import numpy as np
import pytest

from ml.data.augmentation import CHUNK, augment
from ml.data.digit_shapes import SHAPES
from ml.data.mnist import load_mnist
from ml.data.synthetic_digits import draw_digits
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import load_classifier
from ml.training.datasets import redraw


@pytest.fixture(scope="module")
def classifier():
    return load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes())


@pytest.fixture(scope="module")
def validation():
    mnist = load_mnist()
    return mnist.validation_images[:1500], mnist.validation_labels[:1500]


def test_augmentation_is_reproducible_for_a_seed(validation):
    images, _ = validation
    first = augment(images, np.random.default_rng(7))
    np.testing.assert_array_equal(first, augment(images, np.random.default_rng(7)))
    assert (first != augment(images, np.random.default_rng(8))).any(axis=(1, 2)).mean() > 0.99
    assert first.shape == images.shape
    assert first.dtype == np.uint8


def test_augmentation_does_not_modify_its_input(validation):
    images = validation[0][:50].copy()
    augment(images, np.random.default_rng(1))
    np.testing.assert_array_equal(images, validation[0][:50])


def test_ink_does_not_move_into_neighbouring_tiles():
    images = np.zeros((CHUNK, 28, 28), np.uint8)
    images[::2, 0, 4:24] = images[::2, :, 27] = 255
    distorted = augment(images, np.random.default_rng(1))
    assert not distorted[1::2].any()
    assert distorted[::2].any(axis=(1, 2)).mean() > 0.95


def test_distorted_digits_are_still_recognized(validation, classifier):
    images, labels = validation
    distorted = augment(images, np.random.default_rng(3))
    assert (classifier.logits(distorted).argmax(axis=1) == labels).mean() > 0.97


def test_redrawn_digits_are_recognized_after_preprocessing(validation, classifier):
    images, labels = validation[0][:300], validation[1][:300]
    redrawn = redraw(images, np.random.default_rng(3))
    assert (classifier.logits(redrawn).argmax(axis=1) == labels).mean() > 0.97
    np.testing.assert_array_equal(redrawn, redraw(images, np.random.default_rng(3)))


def test_synthetic_digits_are_reproducible_and_have_ink():
    images, labels = draw_digits(300, seed=5)
    again, _ = draw_digits(300, seed=5)
    np.testing.assert_array_equal(images, again)
    assert images.any(axis=(1, 2)).all()
    assert set(labels) == set(range(10)) == set(SHAPES)
