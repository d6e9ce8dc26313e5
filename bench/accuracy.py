"""What each step of preprocessing is worth, and every figure of the shipped model on folders of labelled pictures.

    python -m bench.accuracy --images my-pictures --mnist

Each folder in the given one is a kind of picture, with the labels of `manage.py evaluate`; folders below it are
sources. `docs/accuracy.md` holds what it printed last.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ml.data.mnist import load_mnist
from ml.evaluation.folder_evaluation import (
    ImageResult,
    LabelledImage,
    ResultSummary,
    evaluate_images,
    label_from_path,
    mnist_images,
)
from ml.evaluation.metrics import expected_calibration_error
from ml.preprocessing import prepare_image
from ml.preprocessing.background import flatten_alpha, subtract_flat_background
from ml.preprocessing.normalization import BOX, SIDE, normalize
from ml.preprocessing.segmentation import segment
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import Classifier, load_classifier
from ml.serving.images import decode

_BLANK = np.zeros((SIDE, SIDE), np.uint8)
# a width of strokes, in the 28x28, that `fit` leaves as it is
_UNCHANGED = 2.5


def naive(image: Image.Image) -> np.ndarray:
    """Grey and resized, nothing else: what most tutorials do."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE)))


def otsu(image: Image.Image) -> np.ndarray:
    """The border tells paper from ink, one threshold (Otsu), the box of all ink, the centre of mass in the middle."""
    pixels = _within(flatten_alpha(np.asarray(image)))
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = 255 - grey if np.median(border) > 127 else grey
    threshold, mask = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    box = cv2.boundingRect(mask)
    if not all(box[2:]):
        return _BLANK
    ink = cv2.normalize(cv2.subtract(ink, threshold), None, 0, 255, cv2.NORM_MINMAX)
    return normalize(ink, box, _UNCHANGED * max(box[2:]) / BOX)


def quick(image: Image.Image) -> np.ndarray:
    """Our quick path for every picture, clean or not: one paper colour, the digit's parts, the width of strokes."""
    reading = segment(subtract_flat_background(_within(flatten_alpha(np.asarray(image))))[0])
    return _BLANK if reading is None else normalize(reading.alpha, reading.bbox, reading.stroke)


def full(image: Image.Image) -> np.ndarray:
    """What visitors get."""
    return prepare_image(image).pixels


STEPS: dict[str, Callable[[Image.Image], np.ndarray]] = {
    "grey, resize, / 255": naive,
    "border, Otsu, box, centre of mass": otsu,
    "our quick path for every picture": quick,
    "all of it": full,
}


def _within(pixels: np.ndarray, side: int = 320) -> np.ndarray:
    scale = side / max(pixels.shape[:2])
    return pixels if scale >= 1 else cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def step_accuracy(pictures: Sequence[LabelledImage], classifier: Classifier) -> dict[str, float]:
    """Accuracy of the same model behind each step, on those of the pictures that show one digit."""
    digits = [picture for picture in pictures if picture.digit is not None]
    truth = np.array([picture.digit for picture in digits])
    seen: dict[str, list[np.ndarray]] = {name: [] for name in STEPS}
    for picture in digits:
        image = picture.image if picture.path is None else decode(picture.path.read_bytes())
        for name, step in STEPS.items():
            seen[name].append(step(image))
    return {
        name: float((classifier.logits(np.stack(pixels)).argmax(axis=1) == truth).mean())
        for name, pixels in seen.items()
    }


def calibration_error(results: Sequence[ImageResult]) -> float | None:
    """Expected calibration error over the pictures that show one digit and were not found blank."""
    asked = [o for o in results if o.answer is not None and o.sample.digit is not None]
    if not asked:
        return None
    truth = np.array([outcome.sample.digit for outcome in asked])
    return expected_calibration_error(np.array([outcome.answer.probabilities for outcome in asked]), truth)


def figures(results: Sequence[ImageResult]) -> list[tuple[str, str]]:
    """Names and values of all figures over some pictures, as they are printed."""
    tally = ResultSummary()
    for outcome in results:
        tally.add(outcome)
    found = tally.summary()
    digits = any(outcome.sample.digit is not None for outcome in results)
    rows = [("pictures", str(found["n"]))]
    if digits:
        rows.append(("right", _interval(found)))
        rows.append(("mean over sources", f"{found['mean_over_sources']:.2%} ({len(found['by_source'])})"))
        rows += [
            (name, _interval(found["by_size"][size]))
            for size, name in (("small", "up to 32 px"), ("larger", "larger"))
            if found["by_size"][size]["n"]
        ]
        low, high = found["sure_interval"]
        rows.append(("sure", f"{found['sure_share']:.2%}"))
        rows.append(("of the sure, right", f"{found['sure_accuracy']:.2%} ({low:.2%} to {high:.2%})"))
        rows.append(("calibration error", f"{calibration_error(results):.4f}"))
    else:
        rows.append(("not sure", _interval(found)))
    return rows + [
        (verdict, f"{row['share']:.2%}") for verdict, row in found["verdicts"].items() if row["n"] and verdict != "sure"
    ]


def _interval(row: dict) -> str:
    low, high = row["interval"]
    return f"{row['accuracy']:.2%} ({row['correct']} of {row['n']}; {low:.2%} to {high:.2%})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of folders of labelled pictures")
    parser.add_argument("--mnist", action="store_true", help="the MNIST test set too")
    parser.add_argument("--bundle", type=Path, default=BASE_FOLDER / BUNDLE_FILE, help="another model's bundle")
    options = parser.parse_args()
    if not options.images and not options.mnist:
        parser.error("give --images DIR or --mnist")
    classifier = load_classifier(options.bundle.read_bytes())
    folders = sorted(folder for folder in options.images.iterdir() if folder.is_dir()) if options.images else []
    sets = {folder.name: label_from_path(folder) for folder in folders}
    if options.mnist:
        mnist = load_mnist()
        sets["MNIST test"] = mnist_images(mnist.test_images, mnist.test_labels)
    for name, pictures in sets.items():
        print(f"{name}")
        for row, value in figures(list(evaluate_images(pictures, classifier))):
            print(f"  {row:<20} {value}")
        if any(picture.digit is not None for picture in pictures):
            for step, accuracy in step_accuracy(pictures, classifier).items():
                print(f"  {step:<36} {accuracy:.2%}")


if __name__ == "__main__":
    main()
