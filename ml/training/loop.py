"""Train the network: recipes, what an epoch consists of, and the loop.

`ml.training.export_pipeline` measures and writes what comes out; `manage.py train` and the retraining service call
both:

    python manage.py train --recipe base --output training/

The seed's recipe is kept to the letter. The base recipe keeps network, optimizer, loss and batch size, and adds what
makes the model right on real handwriting; every addition is one field of `Recipe`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml.data.augmentation import Distortion, augment
from ml.serving.classifier import to_input
from ml.training.model import CLASSES, L2_STRENGTH, SIDE, build_model

if TYPE_CHECKING:
    import keras


# Images between two looks at progress and at whether to stop, in whole batches: about a tenth of a second on one core.
STRIDE = 512


@dataclass(frozen=True)
class Recipe:
    """How to train. Each field is what one option of `manage.py train` changes.

    Attributes:
        name: recorded with the model.
        epochs: passes over the data.
        batch_size: images per step.
        learning_rate: of Adam at the start; 0.001 is Adam's default.
        cosine: whether the learning rate falls to zero along a half cosine, or stays.
        l2: strength of the hidden layer's weight penalty.
        label_smoothing: share of each target that is spread evenly over all classes.
        distortion: how every image is distorted anew in each epoch, or None.
        extras: whether redrawn, photographed and procedurally drawn digits and non-digits take part
        (`ml.training.datasets`). seed: decides weights, order, dropout and distortions.
    """

    name: str
    epochs: int
    batch_size: int = 64
    learning_rate: float = 0.001
    cosine: bool = False
    l2: float = L2_STRENGTH
    label_smoothing: float = 0.0
    distortion: Distortion | None = None
    extras: bool = False
    seed: int = 1


SEED = Recipe("seed", epochs=10)
BASE = Recipe("base", epochs=28, cosine=True, label_smoothing=0.05, distortion=Distortion(), extras=True)
RECIPES = {recipe.name: recipe for recipe in (SEED, BASE)}


@dataclass(frozen=True)
class DataSource:
    """Images that take part in every epoch.

    Attributes:
        images: (N, 28, 28) uint8.
        targets: (N, 10) float32, each row adding up to 1; a uniform row says "none of them".
        rows: how many of them an epoch takes, drawn anew each time; more than N repeats them. Default: all.
        distort: whether the recipe's distortion applies to them.
    """

    images: np.ndarray
    targets: np.ndarray
    rows: int | None = None
    distort: bool = True

    @property
    def size(self) -> int:
        """How many rows it gives to an epoch."""
        return len(self.images) if self.rows is None else self.rows


@dataclass(frozen=True)
class Progress:
    """Where a training is: epochs count from 1, batches are those done; loss and accuracy are the epoch's so far."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    accuracy: float


class TrainingCancelledError(Exception):
    """The caller asked the training to stop. Nothing was written."""


def one_hot(labels: np.ndarray) -> np.ndarray:
    """(N,) digits to (N, 10) float32 targets."""
    return np.eye(CLASSES, dtype=np.float32)[labels]


def uniform_targets(n: int) -> np.ndarray:
    """(n, 10) float32 targets of non-digits: every digit equally (un)likely."""
    return np.full((n, CLASSES), 1 / CLASSES, np.float32)


def make_deterministic(seed: int) -> None:
    """Seed everything and make TensorFlow's operations give the same result each time. Holds for the process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def epoch_arrays(parts: Sequence[DataSource], recipe: Recipe, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw, shuffle and distort the images of one epoch.

    It depends on nothing but its arguments, so an epoch is the same whatever came before it.

    Args:
        parts: where the images come from.
        recipe: its seed, distortion and label smoothing.
        epoch: its number, from 0.

    Returns:
        Images (N, 28, 28) uint8 and targets (N, 10) float32.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    images, targets, distort = [], [], []
    for part in parts:
        rows = _draw(len(part.images), part.size, rng)
        images.append(part.images[rows])
        targets.append(part.targets[rows])
        distort.append(np.full(len(rows), part.distort))
    order = rng.permutation(sum(map(len, images)))
    pixels = np.concatenate(images)[order]
    if recipe.distortion is not None:
        chosen = np.concatenate(distort)[order]
        if chosen.all():
            pixels = augment(pixels, rng, recipe.distortion)
        else:
            pixels[chosen] = augment(pixels[chosen], rng, recipe.distortion)
    smooth = recipe.label_smoothing
    wanted = np.concatenate(targets)[order] * (1 - smooth) + np.float32(smooth / CLASSES)
    return pixels, wanted.astype(np.float32)


def _draw(available: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """`wanted` row numbers of `available`, each as often as any other, give or take one."""
    if wanted == available:
        return np.arange(available)
    whole, rest = divmod(wanted, available)
    return np.concatenate([np.tile(np.arange(available), whole), rng.permutation(available)[:rest]])


def fit(
    recipe: Recipe,
    parts: Sequence[DataSource],
    validation: tuple[np.ndarray, np.ndarray],
    *,
    model: keras.Model | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_epoch: Callable[[dict[str, list[float]]], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Train a model.

    Args:
        recipe: how.
        parts: the training images.
        validation: images (N, 28, 28) uint8 and labels (N,); looked at after every epoch, decide nothing here.
        model: the model to go on from (its weights are changed); a new one by default.
        on_progress: called every `STRIDE` images, or after every batch if that is larger, and at the end of an epoch.
        on_epoch: called after every epoch with what is returned in the end, as far as it goes.
        should_stop: asked as often as progress is told.

    Returns:
        The trained model, and per epoch `accuracy`, `loss`, `val_accuracy`, `val_loss`, `learning_rate`. Training
        accuracy counts digits only and is measured on distorted images with dropout: it is below validation's.

    Raises:
        Cancelled: `should_stop` said so.
    """
    make_deterministic(recipe.seed)
    import keras

    model = build_model(l2=recipe.l2) if model is None else model
    batches = -(-sum(part.size for part in parts) // recipe.batch_size)
    rate = recipe.learning_rate
    schedule = keras.optimizers.schedules.CosineDecay(rate, batches * recipe.epochs) if recipe.cosine else rate
    model.compile(keras.optimizers.Adam(schedule), loss="categorical_crossentropy", metrics=[_accuracy_metric()])
    model.optimizer.build(model.trainable_variables)
    train, check = (_over_batches(step, recipe.batch_size) for step in (model.train_step, model.test_step))
    checked = validation[0], one_hot(validation[1])
    history: dict[str, list[float]] = {}
    for epoch in range(recipe.epochs):
        model.reset_metrics()
        for done in train(*epoch_arrays(parts, recipe, epoch)):
            if on_progress is not None:
                on_progress(Progress(epoch + 1, recipe.epochs, done, batches, **_figures(model)))
            if should_stop is not None and should_stop():
                raise TrainingCancelledError(f"Stopped in epoch {epoch + 1} of {recipe.epochs}.")
        learned = _figures(model)
        model.reset_metrics()
        for _ in check(*checked):
            pass
        shown = learned | {f"val_{name}": value for name, value in _figures(model).items()}
        for name, value in (shown | {"learning_rate": float(model.optimizer.learning_rate)}).items():
            history.setdefault(name, []).append(value)
        if on_epoch is not None:
            on_epoch(history)
    return model, history


def _over_batches(step: Callable, batch_size: int) -> Callable[[np.ndarray, np.ndarray], Iterator[int]]:
    """A generator that takes Keras's `step` batch by batch and gives, every `STRIDE` images, how many are done.

    It is `model.fit` without what that costs beside the arithmetic: a call of a graph for every batch, and a pipeline
    that gathers rows which already lie in order, built anew for every epoch. Pixels stay bytes until their turn comes.
    """
    import tensorflow as tf

    images = tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32)

    @tf.function(input_signature=(images, tf.TensorSpec((None, CLASSES), tf.float32)), autograph=False)
    def stride(pixels: tf.Tensor, targets: tf.Tensor) -> None:
        def take(first: tf.Tensor) -> tuple[tf.Tensor]:
            rows = slice(first, first + batch_size)
            step((pixels[rows], targets[rows]))
            return (first + batch_size,)

        tf.while_loop(lambda first: first < tf.shape(pixels)[0], take, (0,))

    def over(pixels: np.ndarray, targets: np.ndarray) -> Iterator[int]:
        together = max(1, STRIDE // batch_size) * batch_size
        for first in range(0, len(pixels), together):
            rows = slice(first, first + together)
            stride(to_input(pixels[rows]), targets[rows])
            yield -(-min(rows.stop, len(pixels)) // batch_size)

    return over


def _figures(model: keras.Model) -> dict[str, float]:
    """Loss and accuracy since they were last reset."""
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def _accuracy_metric() -> keras.metrics.Metric:
    """Accuracy over digits: rows whose target is uniform are non-digits and are left out."""
    import keras
    from keras import ops

    class DigitAccuracy(keras.metrics.Mean):
        def update_state(self, y_true: object, y_pred: object, sample_weight: object = None) -> object:  # noqa: ARG002
            right = ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1))
            is_digit = ops.cast(ops.max(y_true, axis=-1) > 0.5, "float32")
            return super().update_state(ops.cast(right, "float32"), sample_weight=is_digit)

    return DigitAccuracy(name="accuracy")
