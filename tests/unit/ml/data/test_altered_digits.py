"""Altered digits and closed curves for the training."""

import cv2
import numpy as np
import pytest

from ml.data.altered_digits import ALTERATIONS, MIN_LIKENESS, alter_digits, draw_outline, likeness, thin_pen
from ml.data.closed_curves import CLOSED_CURVES
from ml.data.digit_shapes import draw_level_one, draw_plain_seven
from ml.data.mnist import load_mnist
from ml.data.synthetic_digits import write_by_hand
from ml.preprocessing import prepare_strokes


@pytest.fixture(scope="module")
def digits():
    return load_mnist().validation_images[:60]


def test_altered_digits_are_reproducible_and_leave_the_originals_alone(digits):
    before = digits.copy()
    altered = alter_digits(digits, np.random.default_rng(1))
    np.testing.assert_array_equal(altered, alter_digits(digits, np.random.default_rng(1)))
    np.testing.assert_array_equal(digits, before)
    assert (altered != digits).any(axis=(1, 2)).mean() > 0.9


def test_altered_digits_still_resemble_the_originals(digits):
    altered = alter_digits(digits, np.random.default_rng(2))
    assert min(map(likeness, altered, digits)) >= MIN_LIKENESS


@pytest.mark.parametrize("name", ALTERATIONS)
def test_each_alteration_gives_an_image_with_ink(name, digits):
    alteration, _ = ALTERATIONS[name]
    for digit in digits[:20]:
        image = alteration(digit, np.random.default_rng(3))
        assert image.dtype == np.uint8
        assert image.ndim == 2
        assert image.max() > 100


def test_shares_of_the_alterations_add_up():
    assert sum(share for _, share in ALTERATIONS.values()) == pytest.approx(1)


def test_outline_of_a_disc_is_a_ring():
    disc = cv2.circle(np.zeros((28, 28), np.uint8), (14, 14), 9, 255, cv2.FILLED)
    for seed in range(10):
        outline = draw_outline(disc, np.random.default_rng(seed))
        contours, hierarchy = cv2.findContours((outline > 128).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        assert len(contours) == 2
        assert hierarchy[0, :, 3].max() >= 0  # one contour lies inside of the other


def test_thin_pen_leaves_no_block_of_ink(digits):
    ink = thin_pen(digits[0], np.random.default_rng(1)) > 0
    assert ink.any()
    assert not (ink[1:-1, 1:-1] & ink[:-2, 1:-1] & ink[2:, 1:-1] & ink[1:-1, :-2] & ink[1:-1, 2:]).any()


@pytest.mark.parametrize("draw", sorted(set(CLOSED_CURVES), key=lambda draw: draw.__name__))
def test_each_closed_curve_encloses_an_area(draw):
    enclosing = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        pixels = prepare_strokes(write_by_hand(draw(rng), rng)).pixels
        canvas = cv2.copyMakeBorder((pixels < 60).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
        enclosing += cv2.connectedComponents(canvas, connectivity=4)[0] > 2
    assert enclosing >= 12


def test_level_upstroke_of_a_one_is_shorter_than_the_bar_of_a_seven():
    rng = np.random.default_rng(1)
    upstrokes = [np.ptp([x for x, _ in draw_level_one(rng)[0][0][:2]]) for _ in range(200)]
    bars = [np.ptp([x for line, _ in draw_plain_seven(rng) for x, y in line if y < 0.2]) for _ in range(200)]
    assert 2 * max(upstrokes) < min(bars) * 1.01
