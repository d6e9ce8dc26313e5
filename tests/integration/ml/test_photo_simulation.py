"""Simulated photos show their digit, and so do the preprocessed photos for training."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from digitsite.testing.simulated_photos import photographs
from ml.data.mnist import load_mnist
from ml.data.photo_simulation import KINDS, _draw_ink, simulate_photo, thin
from ml.data.synthetic_digits import draw_digits
from ml.evaluation.folder_evaluation import ResultSummary, evaluate_images
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import load_classifier
from ml.serving.verdicts import Verdict
from ml.training import datasets


@pytest.fixture(scope="module")
def mnist():
    return load_mnist()


def test_photos_are_reproducible_for_a_seed(mnist):
    digit, *neighbours = mnist.train_images[:3]
    for kind in KINDS.values():
        first, again, other = (
            simulate_photo(digit, neighbours, kind, np.random.default_rng(seed)) for seed in (1, 1, 2)
        )
        assert first.tobytes() == again.tobytes() != other.tobytes()
        assert first.mode in ("L", "RGB")
        assert min(first.size) >= 8


def test_centre_lines_are_one_pixel_wide_and_keep_loops_and_components():
    ink = np.zeros((60, 60), np.uint8)
    cv2.circle(ink, (30, 20), 12, 1, 6)
    cv2.line(ink, (8, 50), (52, 50), 1, 7)
    lines = thin(ink)
    assert cv2.countNonZero(cv2.erode(lines, np.ones((2, 2), np.uint8))) < 5
    assert cv2.connectedComponents(lines)[0] == 3  # the paper and two pieces
    assert cv2.connectedComponents(255 - lines, connectivity=4)[0] == 3  # the hole and the outside
    assert not lines[ink == 0].any()


def test_pen_changes_the_stroke_width_but_not_of_filled_loops(mnist):
    digit = next(image for image in mnist.train_images if 90 < np.count_nonzero(image > 100) < 100)
    areas = [_draw_ink(digit, 100, pen).mean() for pen in (0.2, 0.5, 0.9, 1.3)]
    assert areas == sorted(areas)
    blot = np.zeros((28, 28), np.uint8)
    cv2.circle(blot, (14, 10), 6, 255, -1)
    cv2.line(blot, (14, 10), (14, 24), 255, 2)
    assert _draw_ink(blot, 100, 0.2).mean() > 0.3


def test_preprocessed_photos_for_training_match_their_labels(mnist):
    drawn, labels = draw_digits(50, 3)
    source = datasets.simulated_photos(
        mnist.train_images, mnist.train_labels, drawn, labels, np.random.default_rng(4), pool=200
    )
    assert source.images.shape == (200, 28, 28)
    assert source.size == datasets.PHOTOGRAPHED_ROWS
    classifier = load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes())
    assert (classifier.logits(source.images).argmax(axis=1) == source.targets.argmax(axis=1)).mean() > 0.95


@pytest.mark.acceptance
@pytest.mark.parametrize("kind", KINDS)
def test_shipped_model_recognizes_every_kind_of_photo(kind):
    classifier = load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes())
    results = ResultSummary()
    for outcome in evaluate_images(photographs(kind, 300), classifier):
        results.add(outcome)
    summary = results.summary()
    assert summary["accuracy"] > (0.85 if kind.startswith("pencil") else 0.92)
    assert summary["sure_accuracy"] > 0.97
    blank = {str(verdict): row["share"] for verdict, row in summary["verdicts"].items()}.get(Verdict.BLANK, 0)
    assert blank < 0.02
