"""Training data of the base recipe.

The data are MNIST, MNIST digits redrawn, altered or photographed and passed through the site's preprocessing, synthetic
digits, and non-digits with a uniform target. `manage.py train` and `recognizer.services.training` use this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from ml.data.altered_digits import alter_digits, likeness
from ml.data.outliers import draw_outliers
from ml.data.photo_simulation import KINDS, simulate_photo
from ml.data.synthetic_digits import draw_digits
from ml.preprocessing import prepare_image
from ml.training.loop import DataSource, Recipe, one_hot, uniform_targets
from ml.versions import SIDE

if TYPE_CHECKING:
    from ml.data.mnist import Mnist

# Pools are drawn once per training and distorted in each epoch: drawing costs more time than the training step.
REDRAWN_POOL, REDRAWN_ROWS = 10_000, 5_000
PHOTOGRAPHED_POOL, PHOTOGRAPHED_ROWS = 12_000, 8_000
DRAWN_POOL, DRAWN_ROWS = 16_000, 8_000
ALTERED_POOL, ALTERED_ROWS = 18_000, 10_000
NON_DIGIT_POOL, NON_DIGIT_ROWS = 18_000, 10_000  # 10,000 of 96,000 rows are 10 %
# Kinds of simulated photographs for training; the others are reserved for evaluation (`bench.photographs`).
PHOTO_KINDS = (
    "shadow", "ruled", "squared", "pencil", "pencil, ruled, shadow", "thin pen", "tiny", "naively shrunk", "register",
    "neighbours", "cut",
)  # fmt: skip
# Smallest correlation of a preprocessed photograph with its original; below it, the preprocessing failed.
MIN_LIKENESS = 0.7


def build_sources(recipe: Recipe, mnist: Mnist) -> list[DataSource]:
    """Build the training data of a recipe: MNIST, and the other sources if `recipe.extras` is set."""
    sources = [DataSource(mnist.train_images, one_hot(mnist.train_labels))]
    if recipe.extras:
        rng = np.random.default_rng([recipe.seed, 3])
        rows = rng.permutation(len(mnist.train_images))[:REDRAWN_POOL]
        drawn, labels = draw_digits(DRAWN_POOL, recipe.seed)
        altered_rows = rng.permutation(len(mnist.train_images))[:ALTERED_POOL]
        sources += [
            DataSource(redraw(mnist.train_images[rows], rng), one_hot(mnist.train_labels[rows]), rows=REDRAWN_ROWS),
            DataSource(drawn, one_hot(labels), rows=DRAWN_ROWS),
            DataSource(
                alter_digits(mnist.train_images[altered_rows], rng),
                one_hot(mnist.train_labels[altered_rows]),
                rows=ALTERED_ROWS,
            ),
            simulated_photos(mnist.train_images, mnist.train_labels, drawn, labels, rng),
            DataSource(
                draw_outliers(NON_DIGIT_POOL, recipe.seed), uniform_targets(NON_DIGIT_POOL), rows=NON_DIGIT_ROWS
            ),
        ]
    return sources


def redraw(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Redraw MNIST digits at a larger size with another pen and paper, and preprocess them with `prepare_image`.

    Args:
        images: (N, 28, 28) uint8.
        rng: determines size, pen, ink and paper.

    Returns:
        (N, 28, 28) uint8; an image in which no ink was found is returned unchanged.
    """
    out = images.copy()
    for i, image in enumerate(images):
        prepared = prepare_image(Image.fromarray(_draw_on_paper(image, rng)))
        if not prepared.blank:
            out[i] = prepared.pixels
    return out


def simulated_photos(
    images: np.ndarray,
    labels: np.ndarray,
    drawn: np.ndarray,
    drawn_labels: np.ndarray,
    rng: np.random.Generator,
    *,
    pool: int = PHOTOGRAPHED_POOL,
    rows: int = PHOTOGRAPHED_ROWS,
) -> DataSource:
    """Simulate photographs of MNIST digits and synthetic digits, preprocessed by `prepare_image`.

    Photographs in which the preprocessing finds something other than the digit, such as the edge of a shadow, are left
    out, because they would be labelled wrongly.

    Args:
        images: (N, 28, 28) uint8, digits of MNIST.
        labels: (N,) their labels.
        drawn: (M, 28, 28) uint8, synthetic digits; a quarter of the photographs show them.
        drawn_labels: (M,) their labels.
        rng: determines all random choices.
        pool: number of photographs to simulate.
        rows: number of photographs in each epoch.
    """
    originals = np.concatenate([images, drawn])
    original_labels = np.concatenate([labels, drawn_labels])
    mnist_count = len(images)
    kinds = [KINDS[name] for name in PHOTO_KINDS]
    photographs: list[np.ndarray] = []
    selected: list[int] = []
    while len(photographs) < pool:
        row = int(rng.integers(mnist_count, len(originals)) if rng.random() < 0.25 else rng.integers(mnist_count))
        neighbours = list(images[rng.integers(0, mnist_count, 2)])
        prepared = prepare_image(simulate_photo(originals[row], neighbours, kinds[rng.integers(len(kinds))], rng))
        if not prepared.blank and likeness(prepared.pixels, originals[row]) >= MIN_LIKENESS:
            photographs.append(prepared.pixels)
            selected.append(row)
    return DataSource(np.stack(photographs), one_hot(original_labels[selected]), rows=rows)


def _draw_on_paper(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scale = int(rng.integers(3, 8))
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    large = cv2.GaussianBlur(large, (0, 0), scale * rng.uniform(0.2, 0.5))
    # A sharp edge at a random level simulates a thinner or thicker pen.
    level, edge = rng.uniform(60, 170), rng.uniform(2.5, 8)
    ink = np.clip((large.astype(np.float32) - level) * edge + 128, 0, 255) / 255
    top, bottom, left, right = rng.integers(0, 2 * SIDE, 4).tolist()
    ink = cv2.copyMakeBorder(ink, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0)
    dark, light = rng.uniform(0, 90), rng.uniform(150, 255)
    paper, pen = (light, dark) if rng.random() < 0.5 else (dark, light)
    canvas = paper + (pen - paper) * ink
    if rng.random() < 0.3:
        canvas += rng.normal(0, rng.uniform(1, 6), canvas.shape)
    pixels: np.ndarray = np.clip(canvas, 0, 255).astype(np.uint8)
    return pixels
