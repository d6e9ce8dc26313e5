"""What our training costs beside plain `model.fit` on the same data: processor seconds of an epoch.

    python -m bench.training                             # epochs of 8,000 images: some minutes
    python -m bench.training --images 55000 --epochs 3   # as long as those of `manage.py train --recipe seed`
    taskset --cpu-list 1 python -m bench.training        # kept on one processor, TensorFlow with one thread

Four ways, each in a process of its own: Keras as its own documentation shows it; `ml.training.loop.fit` with the seed's
recipe, as `manage.py train --recipe seed` calls it; the same with geometric distortions, and with all that the recipes
of the product do. Every way has the same images, batches, 32-bit floats, a new order in every epoch, and looks at the
same validation images after it. The processes take turns, one epoch each, so that whatever else the machine does
meets all of them; the ratios are medians over the turns. The first epoch, which also builds the graphs, does not count.
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
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from ml.data.augmentation import Distortion

PLAIN, SEED, DISTORTED, FULL = "plain model.fit", "seed recipe", "with geometry", "with all distortions"
# Over plain `model.fit`, and over the recipe without distortions; None: nothing was promised.
PROMISED = {SEED: (PLAIN, 1.05), DISTORTED: (SEED, 1.25), FULL: (SEED, None)}
# Rotation, scale, shear, shift and the elastic warp; thickness and brightness of strokes stay as they are.
GEOMETRIC = Distortion(thicken=0, thin=0, fade=0, steepen=0)
DISTORTIONS = {SEED: None, DISTORTED: GEOMETRIC, FULL: Distortion()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8_000)
    parser.add_argument("--epochs", type=int, default=8, help="those that count")
    parser.add_argument("--only", choices=(PLAIN, *PROMISED), help="an epoch for every line of the standard input")
    asked = parser.parse_args()
    if asked.only is not None:
        with contextlib.suppress(Finished):
            work(asked.only, asked.images, asked.epochs + 1)
        return 0
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(worker(name, asked)) for name in (PLAIN, *PROMISED)}
        turns = [{name: epoch() for name, epoch in workers.items()} for _ in range(asked.epochs + 1)][1:]
    print("seconds of processor time an epoch: the least, and the median")
    for name in workers:
        column = [turn[name] for turn in turns]
        line = f"{name:24}{min(column):7.2f}{statistics.median(column):7.2f}"
        if name in PROMISED:
            beside, promised = PROMISED[name]
            ratio = statistics.median(turn[name] / turn[beside] for turn in turns)
            line += f"  {ratio:.3f} of {beside}" + (f" (promised: {promised:g})" if promised else "")
        print(line)
    return 0


@contextlib.contextmanager
def worker(name: str, asked: argparse.Namespace) -> Iterator[Callable[[], float]]:
    """A process that trains; what is given makes it train one epoch and returns its processor seconds."""
    command = [
        sys.executable, "-m", "bench.training", "--only", name,
        "--images", str(asked.images), "--epochs", str(asked.epochs),
    ]  # fmt: skip
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:

        def epoch() -> float:
            print("go", file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield epoch
        process.stdin.close()


class Finished(Exception):  # noqa: N818 - not an error
    """No more epochs are wanted."""


class Turns:
    """Between two epochs: tells the processor seconds of the last one and waits for the next to be asked for."""

    def __init__(self) -> None:
        self._wait()

    def _wait(self) -> None:
        if not sys.stdin.readline():
            raise Finished
        self._begun = time.process_time()

    def next(self, *_: object) -> None:
        print(time.process_time() - self._begun, flush=True)
        self._wait()


def work(name: str, images: int, epochs: int) -> None:
    """Train as `name` says; every epoch waits for its turn."""
    from ml.data.mnist import load_mnist

    mnist = load_mnist()
    train = mnist.train_images[:images], mnist.train_labels[:images]
    held_out = max(1, len(mnist.validation_images) * images // len(mnist.train_images))
    validation = mnist.validation_images[:held_out], mnist.validation_labels[:held_out]
    if name == PLAIN:
        _plain(train, validation, epochs)
    else:
        _ours(train, validation, epochs, DISTORTIONS[name])


def _ours(train: tuple, validation: tuple, epochs: int, distortion: Distortion | None) -> None:
    from ml.training import loop

    recipe = dataclasses.replace(loop.SEED, epochs=epochs, distortion=distortion)
    with Path(os.devnull).open("w") as nowhere, tqdm(file=nowhere, mininterval=0.5) as bar:  # as the command shows it
        loop.fit(
            recipe, [loop.DataSource(train[0], loop.one_hot(train[1]))], validation,
            on_progress=lambda _: bar.update(), on_epoch=Turns().next,
        )  # fmt: skip


def _plain(train: tuple, validation: tuple, epochs: int) -> None:
    import keras
    import numpy as np

    from ml.training.model import build_model

    def arrays(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images[..., None].astype("float32") / 255, keras.utils.to_categorical(labels, 10)

    keras.utils.set_random_seed(1)
    model = build_model()
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    given, checked = arrays(*train), arrays(*validation)
    model.fit(
        *given, batch_size=64, epochs=epochs, validation_data=checked, verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=Turns().next)],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
