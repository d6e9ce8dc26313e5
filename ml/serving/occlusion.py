"""Why: which pixels an answer leaned on, by occlusion (Zeiler and Fergus, 2014).

A small black patch is moved over the 28x28 picture and the model is asked each time. Where the answer loses its lead
over the runner-up, the covered ink spoke for it; where the lead grows, the covered ink spoke against it. All the
variants are one batch of the serving runtime: some 10 ms. The submission's page and the JSON API show the result.

    python -c "
    import numpy as np; from ml.bundle import BASE_FOLDER; from ml.classifier import load_classifier
    from ml.mnist import load_mnist; from ml.occlusion import explain
    classifier = load_classifier((BASE_FOLDER / 'model.bundle').read_bytes())
    print(np.round(explain(classifier, load_mnist().test_images[0]), 1))"
"""

from __future__ import annotations

import numpy as np

from ml.serving.classifier import Classifier

# Wide enough to hide a stroke of MNIST's two or three pixels, small enough to tell one stroke from the next.
PATCH = 5
STRIDE = 2
SIDE = 28


def explain(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """What each pixel did for the answer to one picture.

    Args:
        classifier: of the model version in question.
        pixels: (28, 28) uint8, as the model sees it.

    Returns:
        (28, 28) float32 in -1..1: above 0 the ink there speaks for the answer, below 0 against it, 0 where there is
        no ink near. The largest absolute value is 1, unless nothing mattered.
    """
    corners = [(top, left) for top in range(1 - PATCH, SIDE, STRIDE) for left in range(1 - PATCH, SIDE, STRIDE)]
    windows = [
        (slice(max(top, 0), max(top + PATCH, 0)), slice(max(left, 0), max(left + PATCH, 0))) for top, left in corners
    ]
    windows = [window for window in windows if pixels[window].any()]
    variants = np.repeat(pixels[None], len(windows) + 1, axis=0)
    for variant, window in zip(variants[1:], windows, strict=True):
        variant[window] = 0
    leads = _lead(classifier.logits(variants))
    lost = leads[0] - leads[1:]
    total = np.zeros((SIDE, SIDE), np.float32)
    covered = np.zeros((SIDE, SIDE), np.float32)
    for window, loss in zip(windows, lost, strict=True):
        total[window] += loss
        covered[window] += 1
    # Without ink there was nothing to lean on, however often a patch lay there.
    leaning = total / np.maximum(covered, 1) * (pixels / 255.0)
    largest = np.abs(leaning).max()
    return (leaning / largest if largest > 0 else leaning).astype(np.float32)


def _lead(logits: np.ndarray) -> np.ndarray:
    """(N, 10) logits to (N,): by how much the first picture's answer leads the best other digit."""
    answer = int(logits[0].argmax())
    others = np.delete(logits, answer, axis=1).max(axis=1)
    return logits[:, answer] - others


def overlay(pixels: np.ndarray, leaning: np.ndarray) -> np.ndarray:
    """The picture with its explanation laid over it, for people.

    Args:
        pixels: (28, 28) uint8.
        leaning: (28, 28) float in -1..1, from `explain`.

    Returns:
        (28, 28, 3) uint8: ink in grey, what spoke for the answer towards orange, what spoke against it towards blue
        (a pair that colour-blind people tell apart).
    """
    grey = pixels.astype(np.float32)[..., None] * 0.8
    colours = np.where(leaning[..., None] > 0, np.float32([255, 150, 30]), np.float32([60, 130, 255]))
    # The square root lifts weak evidence to where an eye sees it.
    share = np.sqrt(np.abs(leaning))[..., None]
    return np.clip(grey * (1 - share) + colours * share, 0, 255).astype(np.uint8)
