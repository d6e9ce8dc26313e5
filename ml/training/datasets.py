"""What an epoch of the base recipe is made of, and the frozen sets that check a model.

MNIST itself; MNIST digits redrawn as somebody might hand them in, or photographed on paper, and brought back by our own
preprocessing; digits drawn by procedure; non-digits with a uniform target. `manage.py train` and the retraining service
build on it.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from ml.data.augmentation import SIDE, STRONG, augment
from ml.data.mnist import Mnist
from ml.data.outliers import draw_outliers
from ml.data.photo_simulation import KINDS, simulate_photo
from ml.data.synthetic_digits import draw_digits
from ml.preprocessing import prepare_image
from ml.training.export_pipeline import EvaluationSets
from ml.training.loop import DataSource, Recipe, one_hot, uniform_targets

# Drawn once per training and distorted anew in each epoch: drawing them anew would cost more than the training step.
REDRAWN_POOL, REDRAWN_ROWS = 10_000, 5_000
PHOTOGRAPHED_POOL, PHOTOGRAPHED_ROWS = 12_000, 8_000
DRAWN_POOL, DRAWN_ROWS = 16_000, 8_000
NON_DIGIT_POOL, NON_DIGIT_ROWS = 12_000, 6_000  # 6,000 of 75,000 rows are 8 %
# Kinds of photographs that training sees; the others are kept for measuring (`bench.photographs`).
PHOTO_KINDS = (
    "shadow", "ruled", "squared", "pencil", "pencil, ruled, shadow", "thin pen", "tiny", "naively shrunk", "register",
    "neighbours", "cut",
)  # fmt: skip
# A photograph came back right when it resembles its original at least this much.
LIKE = 0.7
# The frozen sets never change with the seed of a training, or its figures could not be compared.
FROZEN = 20_240_501
FROZEN_NON_DIGITS = 2_000
FROZEN_DRAWN = 1_000


def build_sources(recipe: Recipe, mnist: Mnist) -> list[DataSource]:
    """The training images of a recipe: MNIST alone, or with everything else."""
    parts = [DataSource(mnist.train_images, one_hot(mnist.train_labels))]
    if recipe.extras:
        rng = np.random.default_rng([recipe.seed, 3])
        rows = rng.permutation(len(mnist.train_images))[:REDRAWN_POOL]
        drawn, labels = draw_digits(DRAWN_POOL, recipe.seed)
        parts += [
            DataSource(redraw(mnist.train_images[rows], rng), one_hot(mnist.train_labels[rows]), rows=REDRAWN_ROWS),
            DataSource(drawn, one_hot(labels), rows=DRAWN_ROWS),
            simulated_photos(mnist, drawn, labels, rng),
            DataSource(
                draw_outliers(NON_DIGIT_POOL, recipe.seed), uniform_targets(NON_DIGIT_POOL), rows=NON_DIGIT_ROWS
            ),
        ]
    return parts


def build_evaluation_sets(mnist: Mnist) -> EvaluationSets:
    """The frozen sets: MNIST validation and test, distorted validation digits, procedural non-digits."""
    rng = np.random.default_rng(FROZEN)
    distorted = augment(mnist.validation_images, rng, STRONG)
    half = len(distorted) // 2
    drawn, labels = draw_digits(FROZEN_DRAWN, FROZEN)
    return EvaluationSets(
        validation=(mnist.validation_images, mnist.validation_labels),
        distorted=(
            np.concatenate([redraw(distorted[:half], rng), distorted[half:], drawn]),
            np.concatenate([mnist.validation_labels, labels]),
        ),
        non_digits=draw_outliers(FROZEN_NON_DIGITS, FROZEN),
        test=(mnist.test_images, mnist.test_labels),
    )


def redraw(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw MNIST digits large, with another pen, on another paper, and bring them back by `prepare_image`.

    Args:
        images: (N, 28, 28) uint8.
        rng: decides size, pen, ink and paper.

    Returns:
        (N, 28, 28) uint8; an image whose ink was lost is returned as it came.
    """
    out = images.copy()
    for i, image in enumerate(images):
        prepared = prepare_image(Image.fromarray(_as_handed_in(image, rng)))
        if not prepared.blank:
            out[i] = prepared.pixels
    return out


def simulated_photos(
    mnist: Mnist,
    drawn: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    *,
    pool: int = PHOTOGRAPHED_POOL,
    rows: int = PHOTOGRAPHED_ROWS,
) -> DataSource:
    """Photographs of MNIST's and of drawn digits, as `prepare_image` brings them back.

    What it brings back wrongly, a shadow's edge in place of a digit, is left out: it would teach that anything may be
    an 8.

    Args:
        mnist: of which the training images are taken.
        drawn, labels: digits drawn by procedure; a quarter of the photographs show them.
        rng: decides everything.
        pool, rows: how many are made, and how many of them an epoch takes.
    """
    originals = np.concatenate([mnist.train_images, drawn])
    truth = np.concatenate([mnist.train_labels, labels])
    first = len(mnist.train_images)
    kinds = [KINDS[name] for name in PHOTO_KINDS]
    images, chosen = [], []
    while len(images) < pool:
        row = int(rng.integers(first, len(originals)) if rng.random() < 0.25 else rng.integers(first))
        others = mnist.train_images[rng.integers(0, first, 2)]
        found = prepare_image(simulate_photo(originals[row], others, kinds[rng.integers(len(kinds))], rng))
        if not found.blank and likeness(found.pixels, originals[row]) >= LIKE:
            images.append(found.pixels)
            chosen.append(row)
    return DataSource(np.stack(images), one_hot(truth[chosen]), rows=rows)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two 28x28 pictures, both blurred so that the width of the pen hardly matters."""
    a, b = (cv2.GaussianBlur(image.astype(np.float32), (0, 0), 2).ravel() for image in (one, other))
    return float(np.corrcoef(a, b)[0, 1])


def _as_handed_in(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scale = int(rng.integers(3, 8))
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    large = cv2.GaussianBlur(large, (0, 0), scale * rng.uniform(0.2, 0.5))
    # a sharp edge at a random level is a thinner or a thicker pen
    level, edge = rng.uniform(60, 170), rng.uniform(2.5, 8)
    ink = np.clip((large.astype(np.float32) - level) * edge + 128, 0, 255) / 255
    margin = rng.integers(0, 2 * SIDE, 4)
    ink = cv2.copyMakeBorder(ink, *(int(m) for m in margin), cv2.BORDER_CONSTANT, value=0)
    dark, light = rng.uniform(0, 90), rng.uniform(150, 255)
    paper, pen = (light, dark) if rng.random() < 0.5 else (dark, light)
    picture = paper + (pen - paper) * ink
    if rng.random() < 0.3:
        picture += rng.normal(0, rng.uniform(1, 6), picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)
