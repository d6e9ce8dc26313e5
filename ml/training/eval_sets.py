"""Frozen evaluation sets, for calibration, for metrics and for the comparison of candidate and champion.

They do not depend on the seed of a training, so that metrics of versions are comparable, and contain no labels of the
site. They are drawn once and cached on disk (`ml.data.disk_cache`).
"""

from __future__ import annotations

import hashlib

import numpy as np

from ml.data.augmentation import STRONG, augment
from ml.data.digit_shapes import SHAPES
from ml.data.disk_cache import Arrays, ProgressCallback, cached, no_progress
from ml.data.mnist import Mnist
from ml.data.synthetic_digits import write_by_hand
from ml.evaluation.gate import NON_DIGIT_TOLERANCE, EvalDataset
from ml.training.datasets import build_evaluation_sets, simulated_photos
from ml.training.export_pipeline import EvaluationSets
from ml.training.model import CLASSES

FROZEN = 20_240_611
DISTORTIONS = 4
SYNTHETIC_PER_DIGIT = 400
PHOTOGRAPHS, PHOTOGRAPH_TOLERANCE = 1_000, 0.003


def site_evaluation_sets(mnist: Mnist, on_progress: ProgressCallback = no_progress) -> EvaluationSets:
    """Return the sets of `ml.training.datasets.build_evaluation_sets`, from the disk cache if possible.

    Args:
        mnist: the MNIST data.
        on_progress: called while the sets are drawn.
    """

    def draw() -> Arrays:
        on_progress("drawing the evaluation sets", 0.0)
        drawn = build_evaluation_sets(mnist)
        return {"images": drawn.distorted[0], "labels": drawn.distorted[1], "non_digits": drawn.non_digits}

    arrays = cached("checks", draw, mnist.validation_images)
    return EvaluationSets(
        validation=(mnist.validation_images, mnist.validation_labels),
        distorted=(arrays["images"], arrays["labels"]),
        non_digits=arrays["non_digits"],
        test=(mnist.test_images, mnist.test_labels),
    )


def gate_datasets(evaluation_sets: EvaluationSets, on_progress: ProgressCallback = no_progress) -> list[EvalDataset]:
    """Return the frozen sets of the gate. They contain no labels of the site, so poisoned labels cannot affect them.

    - validation: MNIST's validation digits.
    - distorted: every validation digit in four distortions, and 400 synthetic digits of each class. Shapes that are
      rare in MNIST are as frequent as the others, because retraining forgets them most easily.
    - photographed: validation digits on simulated paper, after the site's preprocessing.
    - non_digits: images that must be rejected.

    Args:
        evaluation_sets: see `site_evaluation_sets`.
        on_progress: called while the sets are drawn.
    """
    images, labels = evaluation_sets.validation
    n, drawn_n = len(images), SYNTHETIC_PER_DIGIT * CLASSES

    def draw() -> Arrays:
        rng = np.random.default_rng(FROZEN)
        on_progress("drawing the gate's digits", 0.0)
        drawn, drawn_labels = draw_balanced(SYNTHETIC_PER_DIGIT, FROZEN)
        on_progress("photographing the gate's digits", 0.3)
        validation_only = Mnist(images, labels, images, labels, *evaluation_sets.test)
        photos = simulated_photos(
            validation_only, drawn, drawn_labels, np.random.default_rng([FROZEN, 6]), pool=PHOTOGRAPHS
        )
        on_progress("distorting the gate's digits", 0.97)
        return {
            "images": np.concatenate([*(augment(images, rng, STRONG) for _ in range(DISTORTIONS)), drawn]),
            "labels": np.concatenate([np.tile(labels, DISTORTIONS), drawn_labels]),
            "photographs": photos.images,
            "photographed": photos.targets.argmax(axis=1).astype(np.uint8),
        }

    hard = cached("gate", draw, images, labels, DISTORTIONS, SYNTHETIC_PER_DIGIT, PHOTOGRAPHS)
    clusters = np.concatenate([np.tile(np.arange(n), DISTORTIONS), n + np.arange(drawn_n)])
    return [
        EvalDataset("validation", "MNIST validation", images, labels),
        EvalDataset("distorted", "Distorted and drawn digits", hard["images"], hard["labels"], clusters),
        EvalDataset(
            "photographed",
            "Photographed digits",
            hard["photographs"],
            hard["photographed"],
            tolerance=PHOTOGRAPH_TOLERANCE,
            per_digit=False,
            calibration=False,
        ),
        EvalDataset(
            "non_digits", "Non-digits refused", evaluation_sets.non_digits, None, tolerance=NON_DIGIT_TOLERANCE
        ),
    ]


def draw_balanced(each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the same number of synthetic images of every digit.

    Args:
        each: number of images of each digit.
        seed: determines the images.

    Returns:
        Images (10 * each, 28, 28) uint8 and labels (10 * each,) uint8.
    """
    from ml.preprocessing import prepare_strokes

    rng = np.random.default_rng([seed, 5])
    labels = np.repeat(np.arange(CLASSES, dtype=np.uint8), each)
    images = np.empty((len(labels), 28, 28), np.uint8)
    for i, digit in enumerate(labels):
        shapes = SHAPES[int(digit)]
        images[i] = prepare_strokes(write_by_hand(shapes[rng.integers(len(shapes))](rng), rng)).pixels
    return images, labels


def fingerprint(sets: list[EvalDataset]) -> str:
    """Return the hash of the frozen sets. Metrics of two versions are comparable if their hashes are equal."""
    digest = hashlib.sha256()
    for dataset in sets:
        digest.update(dataset.name.encode() + dataset.images.tobytes())
        if dataset.labels is not None:
            digest.update(dataset.labels.tobytes())
    return digest.hexdigest()
