"""What our training costs beside plain `model.fit` on the same data: processor seconds of an epoch.

    python -m bench.training                            # 16,000 images, three rounds: some minutes
    python -m bench.training --images 55000 --rounds 2  # epochs as long as those of `manage.py train --recipe seed`

Three ways, each in a process of its own, in turn so that a noisy machine does no favour to one: Keras as its own
documentation shows it; `ml.training.fit` with the seed's recipe, as `manage.py train --recipe seed` calls it; the same
with geometric distortions. The first epoch of each, which also builds the graph, does not count; of the others the
least does: whatever else a machine does only ever adds to it.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

from ml.augmentation import Distortion

EPOCHS = 3
PLAIN, SEED, DISTORTED = "plain model.fit", "seed recipe", "seed recipe, distorted"
# Over plain `model.fit`, and over the recipe without distortions.
PROMISED = {SEED: (PLAIN, 1.05), DISTORTED: (SEED, 1.25)}
# Rotation, scale, shear, shift and the elastic warp; thickness and brightness of strokes stay as they are.
GEOMETRIC = Distortion(thicken=0, thin=0, fade=0, steepen=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=(PLAIN, SEED, DISTORTED), help="print this one's seconds as JSON")
    asked = parser.parse_args()
    if asked.only is not None:
        print(json.dumps(epochs(asked.only, asked.images)))
        return 0
    seconds: dict[str, list[float]] = {name: [] for name in (PLAIN, SEED, DISTORTED)}
    for _ in range(asked.rounds):
        for name, taken in seconds.items():
            taken.extend(in_a_process(name, asked.images))
    print("seconds of processor time an epoch: the least, and the median")
    for name, column in seconds.items():
        beside, promised = PROMISED.get(name, (name, 1.0))
        least = f"{name:24}{min(column):7.2f}{statistics.median(column):7.2f}"
        ratio = f"  {min(column) / min(seconds[beside]):.3f} of {beside} (promised: {promised:g})"
        print(least + (ratio if beside != name else ""))
    return 0


def in_a_process(name: str, images: int) -> list[float]:
    command = [sys.executable, "-m", "bench.training", "--only", name, "--images", str(images)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def epochs(name: str, images: int) -> list[float]:
    """Processor seconds of every epoch but the first, validation included."""
    from ml.mnist import load_mnist

    mnist = load_mnist()
    train = mnist.train_images[:images], mnist.train_labels[:images]
    held_out = max(1, len(mnist.validation_images) * images // len(mnist.train_images))
    validation = mnist.validation_images[:held_out], mnist.validation_labels[:held_out]
    marks: list[float] = []

    def mark(*_: object) -> None:
        marks.append(time.process_time())

    if name == PLAIN:
        _plain(train, validation, mark)
    else:
        from ml import training

        recipe = dataclasses.replace(
            training.SEED, epochs=EPOCHS + 1, distortion=GEOMETRIC if name == DISTORTED else None
        )
        # As the command does it, which shows every batch in its bar.
        training.fit(
            recipe, [training.Part(train[0], training.one_hot(train[1]))], validation,
            on_batch=lambda progress: progress, on_epoch=mark,
        )  # fmt: skip
    return [after - before for before, after in itertools.pairwise(marks)]


def _plain(train: tuple, validation: tuple, mark: object) -> None:
    import keras
    import numpy as np

    from ml.model import build_model

    def arrays(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images[..., None].astype("float32") / 255, keras.utils.to_categorical(labels, 10)

    keras.utils.set_random_seed(1)
    model = build_model()
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        *arrays(*train), batch_size=64, epochs=EPOCHS + 1, validation_data=arrays(*validation), verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=mark)],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
