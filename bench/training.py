"""Processor time of an epoch of our training compared with plain `model.fit` on the same data.

    python -m bench.training                             # epochs of 8,000 images: some minutes
    python -m bench.training --images 55000 --epochs 3   # as long as those of `manage.py train --recipe seed`
    taskset --cpu-list 1 python -m bench.training        # kept on one processor, TensorFlow with one thread

Four ways, each in its own process: Keras as its documentation shows it; `ml.training.loop.fit` with the seed's
recipe, as `manage.py train --recipe seed` calls it; the same with geometric distortions, and with all distortions of
the product's recipes. Every way has the same images, batches and 32-bit floats, shuffles in every epoch and evaluates
the same validation images after it. The processes take turns, one epoch each, so that other load affects all of them;
the ratios are medians over the turns. The first epoch also builds the graphs and does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias, cast

from tqdm import tqdm

from ml.data.augmentation import Distortion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from ml.evaluation.datasets import EvalDataset

PLAIN, SEED, DISTORTED, FULL = "plain model.fit", "seed recipe", "with geometry", "with all distortions"
# Baseline and highest allowed ratio of each way; None: no limit.
PROMISED = {SEED: (PLAIN, 1.05), DISTORTED: (SEED, 1.25), FULL: (SEED, None)}
# Rotation, scale, shear, shift and the elastic warp; thickness and brightness of strokes are unchanged.
GEOMETRIC = Distortion(thicken=0, thin=0, fade=0, steepen=0)
# Images of shape (N, 28, 28) and labels of shape (N,), both uint8.
Dataset: TypeAlias = "tuple[np.ndarray, np.ndarray]"
DISTORTIONS = {SEED: None, DISTORTED: GEOMETRIC, FULL: Distortion()}


def main() -> int:
    """Measure, print the table and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8_000)
    parser.add_argument("--epochs", type=int, default=8, help="number of epochs that count")
    parser.add_argument(
        "--only", choices=(PLAIN, *PROMISED), help="train this way, one epoch for each line of the standard input"
    )
    options = parser.parse_args()
    if options.only is not None:
        with contextlib.suppress(Finished):
            work(options.only, options.images, options.epochs + 1)
        return 0
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(worker(name, options)) for name in (PLAIN, *PROMISED)}
        turns = [{name: epoch() for name, epoch in workers.items()} for _ in range(options.epochs + 1)][1:]
    print("seconds of processor time an epoch: minimum and median")
    for name in workers:
        column = [turn[name] for turn in turns]
        line = f"{name:24}{min(column):7.2f}{statistics.median(column):7.2f}"
        if name in PROMISED:
            baseline, promised = PROMISED[name]
            ratio = statistics.median(turn[name] / turn[baseline] for turn in turns)
            line += f"  {ratio:.3f} of {baseline}" + (f" (promised: {promised:g})" if promised else "")
        print(line)
    return 0


@contextlib.contextmanager
def worker(name: str, options: argparse.Namespace) -> Iterator[Callable[[], float]]:
    """Start a training process; yield a function that trains one epoch in it and returns the processor seconds."""
    command = [
        sys.executable, "-m", "bench.training", "--only", name,
        "--images", str(options.images), "--epochs", str(options.epochs),
    ]  # fmt: skip
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        orders, results = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)

        def epoch() -> float:
            print("go", file=orders, flush=True)
            return float(json.loads(results.readline()))

        yield epoch
        orders.close()


class Finished(Exception):  # noqa: N818 - not an error
    """Ends a training process when the standard input is closed."""


class Turns:
    """Callback between epochs: prints the processor seconds of the last epoch and waits for the next line of input."""

    def __init__(self) -> None:
        self._wait()

    def _wait(self) -> None:
        if not sys.stdin.readline():
            raise Finished
        self._started = time.process_time()

    def next(self, *_: object) -> None:
        """Report the epoch that has ended and wait until the next one is requested."""
        print(time.process_time() - self._started, flush=True)
        self._wait()


def work(name: str, images: int, epochs: int) -> None:
    """Train in the given way; every epoch waits for its turn."""
    from ml.data.mnist import load_mnist
    from ml.evaluation.datasets import EvalDataset

    mnist = load_mnist()
    train = mnist.train_images[:images], mnist.train_labels[:images]
    held_out = max(1, len(mnist.validation_images) * images // len(mnist.train_images))
    validation = EvalDataset(
        "validation", "MNIST validation", mnist.validation_images[:held_out], mnist.validation_labels[:held_out]
    )
    if name == PLAIN:
        _plain(train, (validation.images, validation.labels), epochs)
    else:
        _fit(train, validation, epochs, DISTORTIONS[name])


def _fit(train: Dataset, validation: EvalDataset, epochs: int, distortion: Distortion | None) -> None:
    from ml.training import loop

    recipe = dataclasses.replace(loop.SEED, epochs=epochs, distortion=distortion)
    with Path(os.devnull).open("w") as sink, tqdm(file=sink, mininterval=0.5) as bar:  # the command shows one too
        loop.fit(
            recipe, [loop.DataSource(train[0], loop.one_hot(train[1]))], validation,
            on_progress=lambda _: bar.update(), on_epoch=Turns().next,
        )  # fmt: skip


def _plain(train: Dataset, validation: Dataset, epochs: int) -> None:
    import keras

    from ml.training.model import build_model

    def arrays(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images[..., None].astype("float32") / 255, keras.utils.to_categorical(labels, 10)

    keras.utils.set_random_seed(1)
    model = build_model()
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    inputs, validation_data = arrays(*train), arrays(*validation)
    model.fit(
        *inputs, batch_size=64, epochs=epochs, validation_data=validation_data, verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=Turns().next)],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
