"""Train the network: recipes, what an epoch consists of, and the loop.

`ml.report` measures and writes what comes out; `manage.py train` and the retraining service call both:

    python manage.py train --recipe base --output training/

The seed's recipe is kept to the letter. The base recipe keeps network, optimizer, loss and batch size, and adds what
makes the model right on real handwriting; every addition is one field of `Recipe`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml.augmentation import Distortion, augment
from ml.classifier import to_input
from ml.model import CLASSES, L2_STRENGTH, build_model

if TYPE_CHECKING:
    import keras


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
        extras: whether redrawn, photographed and procedurally drawn digits and non-digits take part (`ml.mixture`).
        seed: decides weights, order, dropout and distortions.
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
class Part:
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
    """Where a training is after one batch: both count from 1; loss and accuracy are the epoch's so far."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    accuracy: float


class Cancelled(Exception):  # noqa: N818 - not an error: it was asked for
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


def epoch_arrays(parts: Sequence[Part], recipe: Recipe, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw, shuffle and distort the images of one epoch.

    It depends on nothing but its arguments, so an epoch is the same whatever came before it.

    Args:
        parts: where the images come from.
        recipe: its seed, distortion and label smoothing.
        epoch: its number, from 0.

    Returns:
        Images (N, 28, 28, 1) float32 in 0..1 and targets (N, 10) float32.
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
    return to_input(pixels), wanted.astype(np.float32)


def _draw(available: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """`wanted` row numbers of `available`, each as often as any other, give or take one."""
    if wanted == available:
        return np.arange(available)
    whole, rest = divmod(wanted, available)
    return np.concatenate([np.tile(np.arange(available), whole), rng.permutation(available)[:rest]])


def fit(
    recipe: Recipe,
    parts: Sequence[Part],
    validation: tuple[np.ndarray, np.ndarray],
    *,
    model: keras.Model | None = None,
    on_batch: Callable[[Progress], None] | None = None,
    on_epoch: Callable[[dict[str, list[float]]], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Train a model.

    Args:
        recipe: how.
        parts: the training images.
        validation: images (N, 28, 28) uint8 and labels (N,); looked at after every epoch, decide nothing here.
        model: the model to go on from (its weights are changed); a new one by default.
        on_batch: called after every batch.
        on_epoch: called after every epoch with what is returned in the end, as far as it goes.
        should_stop: asked after every batch.

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
    checked = to_input(validation[0]), one_hot(validation[1])
    watcher = _watcher(recipe, batches, on_batch, should_stop)
    history: dict[str, list[float]] = {}
    for epoch in range(recipe.epochs):
        images, targets = epoch_arrays(parts, recipe, epoch)
        done = model.fit(
            images, targets, batch_size=recipe.batch_size, initial_epoch=epoch, epochs=epoch + 1,
            shuffle=False, validation_data=checked, callbacks=[watcher], verbose=0,
        )  # fmt: skip
        if watcher.cancelled:
            raise Cancelled(f"Stopped in epoch {epoch + 1} of {recipe.epochs}.")
        for key, values in done.history.items():
            history.setdefault(key, []).append(float(values[-1]))
        history.setdefault("learning_rate", []).append(float(model.optimizer.learning_rate))
        if on_epoch is not None:
            on_epoch(history)
    return model, history


def _watcher(
    recipe: Recipe,
    batches: int,
    on_batch: Callable[[Progress], None] | None,
    should_stop: Callable[[], bool] | None,
) -> keras.callbacks.Callback:
    import keras

    class Watcher(keras.callbacks.Callback):
        cancelled = False
        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:  # noqa: ARG002 - as Keras calls it
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            if on_batch is not None:
                logs = logs or {}
                on_batch(
                    Progress(
                        self.epoch + 1,
                        recipe.epochs,
                        batch + 1,
                        batches,
                        float(logs.get("loss", 0)),
                        float(logs.get("accuracy", 0)),
                    )
                )
            if should_stop is not None and should_stop():
                self.cancelled = True
                self.model.stop_training = True

    return Watcher()


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
