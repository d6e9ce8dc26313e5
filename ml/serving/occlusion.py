"""Occlusion maps: the pixels an answer depends on (Zeiler and Fergus, 2014).

A small black patch is moved over the 28x28 image and the model classifies each variant. Where the margin over the
runner-up shrinks, the covered ink supports the answer; where it grows, the covered ink contradicts it. All variants
form one batch of the serving runtime and take about 10 ms.

    python -c "
    import numpy as np; from ml.serving.bundle import BASE_FOLDER; from ml.serving.classifier import load_classifier
    from ml.data.mnist import load_mnist; from ml.serving.occlusion import explain
    classifier = load_classifier((BASE_FOLDER / 'model.bundle').read_bytes())
    print(np.round(explain(classifier, load_mnist().test_images[0]), 1))"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml.versions import SIDE

if TYPE_CHECKING:
    from ml.serving.classifier import Classifier

# Wide enough to hide a stroke of two or three pixels, as in MNIST, and small enough to separate neighbouring strokes.
PATCH = 5
STRIDE = 2


def explain(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """Compute the occlusion map of one image.

    Args:
        classifier: the classifier of the model version to explain.
        pixels: (28, 28) uint8, the model's input.

    Returns:
        (28, 28) float32 in -1..1: above 0 the ink supports the answer, below 0 it contradicts the answer, 0 where there
        is no ink. The largest absolute value is 1, unless no patch changes the margin.
    """
    corners = [(top, left) for top in range(1 - PATCH, SIDE, STRIDE) for left in range(1 - PATCH, SIDE, STRIDE)]
    windows = [
        (slice(max(top, 0), max(top + PATCH, 0)), slice(max(left, 0), max(left + PATCH, 0))) for top, left in corners
    ]
    windows = [window for window in windows if pixels[window].any()]
    variants = np.repeat(pixels[None], len(windows) + 1, axis=0)
    for variant, window in zip(variants[1:], windows, strict=True):
        variant[window] = 0
    margins = _margins(classifier.logits(variants))
    losses = margins[0] - margins[1:]
    total = np.zeros((SIDE, SIDE), np.float32)
    count = np.zeros((SIDE, SIDE), np.float32)
    for window, loss in zip(windows, losses, strict=True):
        total[window] += loss
        count[window] += 1
    # Pixels without ink do not contribute, even if the patches over them changed the margin.
    contribution = total / np.maximum(count, 1) * (pixels / 255.0)
    largest = np.abs(contribution).max()
    return (contribution / largest if largest > 0 else contribution).astype(np.float32)


def _margins(logits: np.ndarray) -> np.ndarray:
    """Return by how much the answer to the first image exceeds the best other digit: (N, 10) logits to (N,)."""
    answer = int(logits[0].argmax())
    runner_up = np.delete(logits, answer, axis=1).max(axis=1)
    margins: np.ndarray = logits[:, answer] - runner_up
    return margins


def overlay(pixels: np.ndarray, contribution: np.ndarray) -> np.ndarray:
    """Blend an image with its occlusion map.

    Args:
        pixels: (28, 28) uint8.
        contribution: (28, 28) float in -1..1, from `explain`.

    Returns:
        (28, 28, 3) uint8: ink in grey, support for the answer in orange, contradiction in blue (a pair of colours that
        colour-blind people can distinguish).
    """
    grey = pixels.astype(np.float32)[..., None] * 0.8
    support, contradiction = np.array([255, 150, 30], np.float32), np.array([60, 130, 255], np.float32)
    colours = np.where(contribution[..., None] > 0, support, contradiction)
    # The square root makes weak contributions visible.
    share = np.sqrt(np.abs(contribution))[..., None]
    blended: np.ndarray = np.clip(grey * (1 - share) + colours * share, 0, 255).astype(np.uint8)
    return blended
