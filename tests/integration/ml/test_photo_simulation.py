"""Simulated photographs show the digit that they were made of, and what training takes from them looks like it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from digitsite.testing.simulated_photos import photographs
from ml.data.mnist import load_mnist
from ml.data.photo_simulation import KINDS, _draw_ink, _thin, simulate_photo
from ml.data.synthetic_digits import draw_digits
from ml.evaluation.folder_evaluation import ResultSummary, evaluate_images
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import load_classifier
from ml.serving.verdicts import Verdict
from ml.training import datasets


@pytest.fixture(scope="module")
def mnist():
    return load_mnist()


def test_the_same_chance_gives_the_same_photograph_and_another_another(mnist):
    digit, *others = mnist.train_images[:3]
    for kind in KINDS.values():
        first, again, other = (simulate_photo(digit, others, kind, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert first.tobytes() == again.tobytes() != other.tobytes()
        assert first.mode in ("L", "RGB")
        assert min(first.size) >= 8


def test_a_middle_line_is_a_pixel_wide_and_keeps_loops_and_pieces():
    ink = np.zeros((60, 60), np.uint8)
    cv2.circle(ink, (30, 20), 12, 1, 6)
    cv2.line(ink, (8, 50), (52, 50), 1, 7)
    lines = _thin(ink)
    assert cv2.countNonZero(cv2.erode(lines, np.ones((2, 2), np.uint8))) < 5
    assert cv2.connectedComponents(lines)[0] == 3  # the paper and two pieces
    assert cv2.connectedComponents(255 - lines, connectivity=4)[0] == 3  # a hole, and all around
    assert not lines[ink == 0].any()


def test_another_pen_makes_strokes_thinner_or_thicker_but_no_blot_a_line(mnist):
    digit = next(image for image in mnist.train_images if 90 < np.count_nonzero(image > 100) < 100)
    areas = [_draw_ink(digit, 100, pen).mean() for pen in (0.2, 0.5, 0.9, 1.3)]
    assert areas == sorted(areas)
    blot = np.zeros((28, 28), np.uint8)
    cv2.circle(blot, (14, 10), 6, 255, -1)
    cv2.line(blot, (14, 10), (14, 24), 255, 2)
    assert _draw_ink(blot, 100, 0.2).mean() > 0.3


def test_what_training_takes_from_photographs_looks_like_the_digits_it_is_labelled_with(mnist):
    drawn, labels = draw_digits(50, 3)
    part = datasets.simulated_photos(mnist, drawn, labels, np.random.default_rng(4), pool=200)
    assert part.images.shape == (200, 28, 28)
    assert part.size == datasets.PHOTOGRAPHED_ROWS
    classifier = load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes())
    assert (classifier.logits(part.images).argmax(axis=1) == part.targets.argmax(axis=1)).mean() > 0.95


@pytest.mark.acceptance
@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_model_reads_every_kind_of_photograph(kind):
    classifier = load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes())
    tally = ResultSummary()
    for outcome in evaluate_images(photographs(kind, 300), classifier):
        tally.add(outcome)
    found = tally.summary()
    assert found["accuracy"] > (0.85 if kind.startswith("pencil") else 0.92)
    assert found["sure_accuracy"] > 0.97
    blank = {str(verdict): row["share"] for verdict, row in found["verdicts"].items()}.get(Verdict.BLANK, 0)
    assert blank < 0.02
