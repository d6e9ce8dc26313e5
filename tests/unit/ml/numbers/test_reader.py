"""Reading of whole numbers in images composed of MNIST's digits."""

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.data.mnist import load_mnist
from ml.numbers import NumberReading, read_number
from ml.numbers.reader import MAX_CANDIDATES
from ml.serving.bundle import BASE_FOLDER
from ml.serving.classifier import Classifier, load_classifier


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier((BASE_FOLDER / "model.bundle").read_bytes())


@pytest.fixture(scope="module")
def digits() -> dict[str, np.ndarray]:
    """A digit of each kind, as ink cropped to its box, float 0..1."""
    mnist = load_mnist()
    crops = {}
    for label in range(10):
        index = int(np.flatnonzero(mnist.test_labels == label)[1])
        large = cv2.resize(mnist.test_images[index], None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
        left, top, width, height = cv2.boundingRect((large > 60).astype(np.uint8))
        crops[str(label)] = large[top : top + height, left : left + width] / 255
    return crops


def write(digits: dict[str, np.ndarray], *lines: str, gap: int = 14, rise: float = 0.0) -> np.ndarray:
    """Return dark digits on white paper, uint8 (h, w)."""
    height, width = 100 * len(lines) + 80 + 720 * abs(rise), 60 + (65 + max(gap, 0)) * max(map(len, lines))
    ink = np.zeros((round(height), width), np.float32)
    for row, text in enumerate(lines):
        left = 30
        for character in text:
            digit = digits[character]
            top = round(40 + 100 * row + rise * (left if rise > 0 else left - ink.shape[1]))
            window = ink[top : top + digit.shape[0], left : left + digit.shape[1]]
            np.maximum(window, digit, out=window)
            left += digit.shape[1] + gap
    return (255 - 230 * ink).astype(np.uint8)


def test_digits_of_a_number_are_read_from_left_to_right(digits, classifier):
    reading = read_number(write(digits, "0123456789"), classifier)
    assert reading.text == "0123456789"
    lefts = [digit.box[0] for digit in reading.digits]
    assert lefts == sorted(lefts)


def test_boxes_lie_around_the_ink_of_each_digit(digits, classifier):
    image = write(digits, "274")
    reading = read_number(image, classifier)
    left = 30
    for digit, label in zip(reading.digits, "274", strict=True):
        height, width = digits[label].shape
        assert digit.box == pytest.approx((left, 40, width, height), abs=4)
        left += width + 14


def test_lines_are_read_from_top_to_bottom(digits, classifier):
    assert read_number(write(digits, "52", "803", "6"), classifier).text == "52\n803\n6"


@pytest.mark.parametrize("rise", [-0.4, 0.4])
def test_rising_and_falling_line_is_one_line(digits, classifier, rise):
    assert read_number(write(digits, "238457", rise=rise), classifier).text == "238457"


def test_touching_digits_are_separated(digits, classifier):
    assert read_number(write(digits, "4368", gap=-5), classifier).text == "4368"


def test_white_ink_on_black_is_read(digits, classifier):
    assert read_number(255 - write(digits, "9035"), classifier).text == "9035"


def test_cells_of_a_form_are_not_read_as_digits(digits, classifier):
    image = write(digits, "3062", gap=40)
    edges = [12, *(30 + sum(digits[c].shape[1] + 40 for c in "3062"[:i]) - 20 for i in range(1, 5))]
    cv2.rectangle(image, (edges[0], 22), (edges[-1], 118), 60, 2)
    for x in edges[1:-1]:
        cv2.line(image, (x, 22), (x, 118), 60, 2)
    assert read_number(image, classifier).text == "3062"


def test_blank_image_has_no_lines(classifier):
    assert read_number(np.full((60, 200), 255, np.uint8), classifier) == NumberReading()


def test_number_is_sure_if_all_of_its_digits_are(digits, classifier):
    reading = read_number(write(digits, "2740"), classifier)
    assert reading.is_sure
    assert all(digit.valid > 0.8 for digit in reading.digits)


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 60))))
def test_any_array_is_read_without_an_error(classifier, pixels):
    for line in read_number(pixels, classifier).lines:
        for digit in line:
            assert sum(digit.probabilities) == pytest.approx(1)


def test_texture_is_bounded(classifier, monkeypatch):
    """Thousands of components give a bounded number of images to classify."""
    counts = []
    classify = classifier.logits
    monkeypatch.setattr(classifier, "logits", lambda pixels: counts.append(len(pixels)) or classify(pixels))
    noise = np.random.default_rng(1).integers(0, 2, (1500, 1500), dtype=np.uint8) * 255
    started = time.process_time()
    read_number(cv2.dilate(noise, np.ones((3, 3), np.uint8)), classifier)
    assert max(counts, default=0) <= MAX_CANDIDATES
    assert time.process_time() - started < 5
