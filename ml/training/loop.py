"""Training loop: recipes, the images of an epoch, and the loop over batches.

`ml.training.export_pipeline` exports and evaluates the trained model. `manage.py train` and
`recognizer.services.training` use both:

    python manage.py train --recipe base --output training/

The seed recipe follows the specification exactly. The base recipe has the same network, optimizer, loss and batch
size; each of its additions, which improve accuracy on real handwriting, is a field of `Recipe`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.data.augmentation import Distortion, augment
from ml.evaluation.metrics import CLASSES
from ml.serving.classifier import to_input
from ml.training.model import L2_STRENGTH, build_model
from ml.versions import SIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import keras

    from ml.evaluation.datasets import EvalDataset

# Images between two progress reports, rounded to whole batches: about 0.1 s on one core.
STRIDE = 512


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of a training. Most fields have an option in `manage.py train`.

    Attributes:
        name: name that is stored with the model.
        epochs: number of passes over the data.
        batch_size: number of images per step.
        learning_rate: initial learning rate of Adam; its default is 0.001.
        cosine: whether the learning rate decays to zero along a half cosine; otherwise it is constant.
        l2: strength of the hidden layer's weight penalty.
        label_smoothing: share of each target that is spread evenly over all classes.
        distortion: random distortion of every image in each epoch, or None.
        extras: whether redrawn, photographed and synthetic digits and non-digits are added (`ml.training.datasets`).
        seed: determines initial weights, order, dropout and distortions.
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
    """A source of training images.

    Attributes:
        images: (N, 28, 28) uint8.
        targets: (N, 10) float32, each row adding up to 1; a uniform row means "not a digit".
        rows: number of images in each epoch, drawn at random; more than N repeats images. None: all of them.
    """

    images: np.ndarray
    targets: np.ndarray
    rows: int | None = None

    @property
    def size(self) -> int:
        """Number of images in each epoch."""
        return len(self.images) if self.rows is None else self.rows


@dataclass(frozen=True)
class Progress:
    """Progress of a training.

    Attributes:
        epoch: number of the current epoch, from 1.
        epochs: number of epochs.
        batch: number of completed batches in this epoch.
        batches: number of batches in each epoch.
        loss: training loss in this epoch so far.
        accuracy: training accuracy in this epoch so far.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    accuracy: float


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Convert digits (N,) to targets (N, 10) float32."""
    targets: np.ndarray = np.eye(CLASSES, dtype=np.float32)[labels]
    return targets


def uniform_targets(n: int) -> np.ndarray:
    """Return targets (n, 10) float32 for non-digits: every digit has the same probability."""
    return np.full((n, CLASSES), 1 / CLASSES, np.float32)


def make_deterministic(seed: int) -> None:
    """Seed all random generators and enable deterministic TensorFlow operations, for the whole process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def epoch_arrays(sources: Sequence[DataSource], recipe: Recipe, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw, shuffle and distort the images of one epoch.

    The result depends only on the arguments, not on earlier epochs.

    Args:
        sources: the training data.
        recipe: provides seed, distortion and label smoothing.
        epoch: number of the epoch, from 0.

    Returns:
        Images (N, 28, 28) uint8 and targets (N, 10) float32.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    images, targets = [], []
    for source in sources:
        rows = _draw(len(source.images), source.size, rng)
        images.append(source.images[rows])
        targets.append(source.targets[rows])
    order = rng.permutation(sum(map(len, images)))
    pixels = np.concatenate(images)[order]
    if recipe.distortion is not None:
        pixels = augment(pixels, rng, recipe.distortion)
    smooth = recipe.label_smoothing
    smoothed = np.concatenate(targets)[order] * (1 - smooth) + np.float32(smooth / CLASSES)
    return pixels, smoothed.astype(np.float32)


def _draw(available: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` of `available` row numbers; the frequencies of any two rows differ by at most one."""
    if count == available:
        return np.arange(available)
    whole, rest = divmod(count, available)
    return np.concatenate([np.tile(np.arange(available), whole), rng.permutation(available)[:rest]])


def fit(
    recipe: Recipe,
    sources: Sequence[DataSource],
    validation: EvalDataset,
    *,
    model: keras.Model | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_epoch: Callable[[dict[str, list[float]]], None] | None = None,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Train a model.

    Args:
        recipe: the hyper-parameters.
        sources: the training data.
        validation: evaluated after every epoch, without influence on the training.
        model: model to continue from (its weights are changed); a new one by default.
        on_progress: called every `STRIDE` images, or after every batch if that is larger, and at the end of an epoch.
            It may raise an exception to stop the training.
        on_epoch: called after every epoch with the history so far.

    Returns:
        The trained model, and its history: for each epoch `accuracy`, `loss`, `val_accuracy`, `val_loss` and
        `learning_rate`. Training accuracy counts digits only and is measured on distorted images with dropout, so it is
        lower than validation accuracy.
    """
    make_deterministic(recipe.seed)
    import keras

    model = build_model(l2=recipe.l2) if model is None else model
    batches = -(-sum(source.size for source in sources) // recipe.batch_size)
    rate = recipe.learning_rate
    schedule = keras.optimizers.schedules.CosineDecay(rate, batches * recipe.epochs) if recipe.cosine else rate
    model.compile(keras.optimizers.Adam(schedule), loss="categorical_crossentropy", metrics=[_accuracy_metric()])
    model.optimizer.build(model.trainable_variables)
    train, validate = (_over_batches(step, recipe.batch_size) for step in (model.train_step, model.test_step))
    validation_data = validation.images, one_hot(validation.labels)
    history: dict[str, list[float]] = {}
    for epoch in range(recipe.epochs):
        model.reset_metrics()
        for done in train(*epoch_arrays(sources, recipe, epoch)):
            if on_progress is not None:
                on_progress(Progress(epoch + 1, recipe.epochs, done, batches, **_metrics(model)))
        epoch_metrics = _metrics(model)
        model.reset_metrics()
        for _ in validate(*validation_data):
            pass
        epoch_metrics |= {f"val_{name}": value for name, value in _metrics(model).items()}
        epoch_metrics["learning_rate"] = float(model.optimizer.learning_rate)
        for name, value in epoch_metrics.items():
            history.setdefault(name, []).append(value)
        if on_epoch is not None:
            on_epoch(history)
    return model, history


def _over_batches(step: Callable[..., Any], batch_size: int) -> Callable[[np.ndarray, np.ndarray], Iterator[int]]:
    """Return a generator function that runs Keras's `step` on all batches.

    It replaces `model.fit`, which calls a graph for every batch and builds an input pipeline for every epoch. Here one
    call of the graph runs about `STRIDE` images. Pixels are converted to floats only for these images.

    Args:
        step: `model.train_step` or `model.test_step`.
        batch_size: number of images per step.

    Returns:
        A function of images (N, 28, 28) uint8 and targets (N, 10) float32 that yields the number of completed batches
        after each call of the graph.
    """
    import tensorflow as tf

    images = tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32)

    @tf.function(input_signature=(images, tf.TensorSpec((None, CLASSES), tf.float32)), autograph=False)  # type: ignore[untyped-decorator]  # TensorFlow has no stubs
    def run_stride(pixels: tf.Tensor, targets: tf.Tensor) -> None:
        def run_batch(first: tf.Tensor) -> tuple[tf.Tensor]:
            rows = slice(first, first + batch_size)
            step((pixels[rows], targets[rows]))
            return (first + batch_size,)

        tf.while_loop(lambda first: first < tf.shape(pixels)[0], run_batch, (0,))

    def run(pixels: np.ndarray, targets: np.ndarray) -> Iterator[int]:
        stride = max(1, STRIDE // batch_size) * batch_size
        for first in range(0, len(pixels), stride):
            rows = slice(first, first + stride)
            run_stride(to_input(pixels[rows]), targets[rows])
            yield -(-min(rows.stop, len(pixels)) // batch_size)

    return run


def _metrics(model: keras.Model) -> dict[str, float]:
    """Return loss and accuracy since the last reset."""
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def _accuracy_metric() -> keras.metrics.Metric:
    """Return a metric for the accuracy on digits. Rows with a uniform target are non-digits and are ignored."""
    import keras
    from keras import ops

    class DigitAccuracy(keras.metrics.Mean):  # type: ignore[misc]  # Keras has no stubs
        def update_state(self, y_true: object, y_pred: object, sample_weight: object = None) -> object:  # noqa: ARG002
            is_correct = ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1))
            is_digit = ops.cast(ops.max(y_true, axis=-1) > 0.5, "float32")
            return super().update_state(ops.cast(is_correct, "float32"), sample_weight=is_digit)

    return DigitAccuracy(name="accuracy")
