"""Simulated photos of MNIST's test digits, the same in every run."""

import numpy as np

from ml.data.mnist import load_mnist
from ml.data.photo_simulation import KINDS, simulate_photo
from ml.evaluation.folder_evaluation import LabelledImage

SEED = 20_240_711


def photographs(kind: str, number: int) -> list[LabelledImage]:
    """Return `number` photographs of one kind of `KINDS`; deterministic."""
    mnist = load_mnist()
    images, labels = mnist.test_images, mnist.test_labels
    rng = np.random.default_rng([SEED, *kind.encode()])
    rows = rng.permutation(len(images))[:number]
    return [
        LabelledImage(
            name=f"{kind} {row}",
            image=simulate_photo(images[row], images[rng.integers(0, len(images), 2)], KINDS[kind], rng),
            label=str(int(labels[row])),
            source=kind,
        )
        for row in rows
    ]
