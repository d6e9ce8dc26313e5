"""The frozen sets: what every candidate of a site is calibrated on, measured on and compared on with the champion.

They never change with a seed, or figures of versions could not be compared, and no label of the site reaches them.
Drawn once and kept (`ml.data.disk_cache`). `recognizer.services.training` asks for them.
"""

from __future__ import annotations

import hashlib

import numpy as np

from ml.data.augmentation import STRONG, augment
from ml.data.disk_cache import Arrays, ProgressCallback, cached, no_progress
from ml.data.mnist import Mnist
from ml.data.synthetic_digits import SHAPES, write_by_hand
from ml.evaluation.gate import NON_DIGIT_TOLERANCE, EvalDataset
from ml.training.datasets import build_evaluation_sets, simulated_photos
from ml.training.export_pipeline import EvaluationSets
from ml.training.model import CLASSES

FROZEN = 20_240_611
DISTORTIONS = 4
SYNTHETIC_PER_DIGIT = 400
PHOTOGRAPHS, PHOTOGRAPH_TOLERANCE = 1_000, 0.003


def site_evaluation_sets(mnist: Mnist, tell: ProgressCallback = no_progress) -> EvaluationSets:
    """`ml.training.datasets.build_evaluation_sets`, drawn once and kept; `tell` is told where it was not."""

    def draw() -> Arrays:
        tell("drawing what models are checked on", 0.0)
        drawn = build_evaluation_sets(mnist)
        return {"images": drawn.distorted[0], "labels": drawn.distorted[1], "non_digits": drawn.non_digits}

    arrays = cached("checks", draw, mnist.validation_images)
    return EvaluationSets(
        validation=(mnist.validation_images, mnist.validation_labels),
        distorted=(arrays["images"], arrays["labels"]),
        non_digits=arrays["non_digits"],
        test=(mnist.test_images, mnist.test_labels),
    )


def gate_datasets(checks: EvaluationSets, tell: ProgressCallback = no_progress) -> list[EvalDataset]:
    """The clean, frozen sets of the gate. No label of the site reaches them, so neither does poison.

    Photographed: validation digits on simulated paper as our preprocessing brings them back, which retraining must not
    forget to read. Distorted: every validation digit in four distortions, and 400 drawn digits of each kind; the
    shapes that MNIST hardly knows are there as often as the others, because retraining endangers them most. `tell` is
    told what is being drawn, where it was not kept.
    """
    images, labels = checks.validation
    n, drawn_n = len(images), SYNTHETIC_PER_DIGIT * CLASSES

    def draw() -> Arrays:
        rng = np.random.default_rng(FROZEN)
        tell("drawing the gate's digits", 0.0)
        drawn, drawn_labels = draw_balanced(SYNTHETIC_PER_DIGIT, FROZEN)
        tell("photographing the gate's digits", 0.3)
        unseen = Mnist(images, labels, images, labels, *checks.test)
        photos = simulated_photos(unseen, drawn, drawn_labels, np.random.default_rng([FROZEN, 6]), pool=PHOTOGRAPHS)
        tell("distorting the gate's digits", 0.97)
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
        EvalDataset("non_digits", "Non-digits refused", checks.non_digits, None, tolerance=NON_DIGIT_TOLERANCE),
    ]


def draw_balanced(each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`each` procedurally drawn pictures of every digit: (10 * each, 28, 28) uint8 and (10 * each,) uint8."""
    from ml.preprocessing import prepare_strokes

    rng = np.random.default_rng([seed, 5])
    labels = np.repeat(np.arange(CLASSES, dtype=np.uint8), each)
    images = np.empty((len(labels), 28, 28), np.uint8)
    for i, digit in enumerate(labels):
        shapes = SHAPES[int(digit)]
        images[i] = prepare_strokes(write_by_hand(shapes[rng.integers(len(shapes))](rng), rng)).pixels
    return images, labels


def fingerprint(sets: list[EvalDataset]) -> str:
    """Of the frozen sets: figures of two versions are comparable when both were measured on the same ones."""
    digest = hashlib.sha256()
    for one in sets:
        digest.update(one.name.encode() + one.images.tobytes())
        if one.labels is not None:
            digest.update(one.labels.tobytes())
    return digest.hexdigest()
