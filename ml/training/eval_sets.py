"""Frozen evaluation sets, for calibration, for metrics and for the comparison of candidate and champion.

They do not depend on the seed of a training, so that metrics of versions are comparable, and contain no labels of the
site. They are drawn once and cached on disk (`ml.data.disk_cache`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from ml.data.augmentation import STRONG, augment
from ml.data.digit_shapes import SHAPES
from ml.data.disk_cache import Arrays, ProgressCallback, cached, no_progress
from ml.data.outliers import draw_outliers
from ml.data.synthetic_digits import draw_digits, write_by_hand
from ml.evaluation.datasets import NO_LABELS, EvalDataset, Role
from ml.evaluation.metrics import CLASSES
from ml.training.datasets import redraw, simulated_photos

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ml.data.mnist import Mnist

# Seeds of the frozen sets. They do not depend on the seed of the training, so that metrics stay comparable.
EXPORT_SEED, FROZEN = 20_240_501, 20_240_611
NON_DIGITS, EXPORT_DRAWN = 2_000, 1_000
DISTORTIONS = 4
SYNTHETIC_PER_DIGIT = 400
PHOTOGRAPHS = 1_000


def export_datasets(mnist: Mnist, on_progress: ProgressCallback = no_progress) -> dict[str, EvalDataset]:
    """Return the sets with which an exported model is calibrated and measured, by name.

    - test: the MNIST test set; its metrics are reported but influence nothing.
    - validation: MNIST's validation digits.
    - distorted: the same, distorted and half of them redrawn, and synthetic digits.
    - non_digits: synthetic images that show no digit.

    Args:
        mnist: the MNIST data.
        on_progress: called while the sets are drawn.
    """

    def draw() -> Arrays:
        on_progress("drawing the evaluation sets", 0.0)
        rng = np.random.default_rng(EXPORT_SEED)
        distorted = augment(mnist.validation_images, rng, STRONG)
        half = len(distorted) // 2
        drawn, labels = draw_digits(EXPORT_DRAWN, EXPORT_SEED)
        return {
            "images": np.concatenate([redraw(distorted[:half], rng), distorted[half:], drawn]),
            "labels": np.concatenate([mnist.validation_labels, labels]),
            "non_digits": draw_outliers(NON_DIGITS, EXPORT_SEED),
        }

    arrays = cached("checks", draw, mnist.validation_images)
    sets = (
        EvalDataset("test", "MNIST test", mnist.test_images, mnist.test_labels, Role.REPORT),
        EvalDataset("validation", "MNIST validation", mnist.validation_images, mnist.validation_labels),
        EvalDataset("distorted", "Distorted validation", arrays["images"], arrays["labels"]),
        EvalDataset("non_digits", "Non-digits refused", arrays["non_digits"], NO_LABELS, Role.NON_DIGITS),
    )
    return {dataset.name: dataset for dataset in sets}


def gate_datasets(
    export_sets: Mapping[str, EvalDataset], on_progress: ProgressCallback = no_progress
) -> list[EvalDataset]:
    """Return the frozen sets of the gate. They contain no labels of the site, so poisoned labels cannot affect them.

    - validation: MNIST's validation digits.
    - distorted: every validation digit in four distortions, and 400 synthetic digits of each class. Shapes that are
      rare in MNIST are as frequent as the others, because retraining forgets them most easily.
    - photographed: validation digits on simulated paper, after the site's preprocessing.
    - non_digits: images that must be rejected.

    Args:
        export_sets: see `export_datasets`.
        on_progress: called while the sets are drawn.
    """
    validation = export_sets["validation"]
    images, labels = validation.images, validation.labels
    n, drawn_n = len(images), SYNTHETIC_PER_DIGIT * CLASSES

    def draw() -> Arrays:
        rng = np.random.default_rng(FROZEN)
        on_progress("drawing the gate's digits", 0.0)
        drawn, drawn_labels = draw_balanced(SYNTHETIC_PER_DIGIT, FROZEN)
        on_progress("photographing the gate's digits", 0.3)
        photos = simulated_photos(
            images, labels, drawn, drawn_labels, np.random.default_rng([FROZEN, 6]), pool=PHOTOGRAPHS
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
        validation,
        EvalDataset("distorted", "Distorted and drawn digits", hard["images"], hard["labels"], Role.FROZEN, clusters),
        EvalDataset(
            "photographed", "Photographed digits", hard["photographs"], hard["photographed"], Role.FROZEN_PHOTOGRAPHS
        ),
        export_sets["non_digits"],
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


def fingerprint(sets: Iterable[EvalDataset]) -> str:
    """Return the hash of the frozen sets. Metrics of two versions are comparable if their hashes are equal."""
    digest = hashlib.sha256()
    for dataset in sets:
        digest.update(dataset.name.encode() + dataset.images.tobytes() + dataset.labels.tobytes())
    return digest.hexdigest()
