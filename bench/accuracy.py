"""Accuracy of the shipped model on folders of labelled images, and the contribution of each preprocessing step.

    python -m bench.accuracy --images my-images --mnist --kinds

Each subfolder of DIR is a kind of image, labelled as for `manage.py evaluate`; folders inside of it are sources.
`--kinds` adds the named sets of `bench.kinds`. `--external` reads sets of digits that are cropped to their ink, as
`images` and `labels` in .npz files, and shows them in their own frame and with a margin of a quarter of their side.
`docs/reference/accuracy.md` has the last output.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from bench.kinds import KINDS, SHAPES, labelled_images
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
from ml.preprocessing.normalization import BOX, normalize
from ml.preprocessing.segmentation import segment
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import Classifier, load_classifier
from ml.serving.images import decode
from ml.serving.verdicts import Verdict
from ml.versions import SIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from PIL import Image

_BLANK = np.zeros((SIDE, SIDE), np.uint8)
# Stroke width in pixels of the 28x28 image that `normalize` does not change.
_UNCHANGED = 2.5
# Verdicts that tell a visitor that the image does not show one digit.
CAUGHT = (Verdict.NOT_A_DIGIT, Verdict.SEVERAL, Verdict.BLANK)


def naive(image: Image.Image) -> np.ndarray:
    """Convert to grey and resize, as most tutorials do."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE)))


def otsu(image: Image.Image) -> np.ndarray:
    """Segment with Otsu's threshold, crop to the ink and centre by mass; the border tells paper from ink."""
    pixels = _within(flatten_alpha(np.asarray(image)))
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = 255 - grey if np.median(border) > 127 else grey
    threshold, mask = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    box = cv2.boundingRect(mask)
    if not all(box[2:]):
        return _BLANK
    difference = np.asarray(cv2.subtract(ink, np.full_like(ink, threshold)))
    ink = np.asarray(cv2.normalize(difference, np.empty_like(difference), 0, 255, cv2.NORM_MINMAX))
    return normalize(ink, (box[0], box[1], box[2], box[3]), _UNCHANGED * max(box[2:]) / BOX)


def quick(image: Image.Image) -> np.ndarray:
    """Apply the fast path of preprocessing to every image: flat background, segmentation, stroke width."""
    segmentation = segment(subtract_flat_background(_within(flatten_alpha(np.asarray(image))))[0])
    return _BLANK if segmentation is None else normalize(segmentation.alpha, segmentation.bbox, segmentation.stroke)


def full(image: Image.Image) -> np.ndarray:
    """Apply the whole preprocessing, without further readings."""
    return prepare_image(image).pixels


STEPS: dict[str, Callable[[Image.Image], np.ndarray]] = {
    "grey, resize, / 255": naive,
    "border, Otsu, box, centre of mass": otsu,
    "fast path for every image": quick,
    "whole preprocessing, plain reading": full,
}


def _within(pixels: np.ndarray, side: int = 320) -> np.ndarray:
    scale = side / max(pixels.shape[:2])
    return pixels if scale >= 1 else cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def step_accuracy(
    images: Sequence[LabelledImage],
    classifier: Classifier,
    steps: Mapping[str, Callable[[Image.Image], np.ndarray]] = STEPS,
) -> dict[str, float]:
    """Return the accuracy of the model after each of the steps, on the images that show one digit."""
    digits = [sample for sample in images if sample.digit is not None]
    labels = np.array([sample.digit for sample in digits])
    prepared: dict[str, list[np.ndarray]] = {name: [] for name in steps}
    for sample in digits:
        image = decode(sample.path.read_bytes()) if sample.image is None and sample.path else sample.image
        if image is None:
            raise ValueError(f"{sample.name} has neither a file nor an image.")
        for name, step in steps.items():
            prepared[name].append(step(image))
    return {
        name: float((classifier.logits(np.stack(pixels)).argmax(axis=1) == labels).mean())
        for name, pixels in prepared.items()
    }


def calibration_error(results: Sequence[ImageResult]) -> float | None:
    """Return the expected calibration error over the images that show one digit and are not blank."""
    digits = [
        (outcome.answer.probabilities, outcome.sample.digit)
        for outcome in results
        if outcome.answer is not None and outcome.sample.digit is not None
    ]
    if not digits:
        return None
    probabilities, labels = zip(*digits, strict=True)
    return expected_calibration_error(np.array(probabilities), np.array(labels))


def figures(results: Sequence[ImageResult]) -> list[tuple[str, str]]:
    """Return the names and formatted values of all figures over the images."""
    collector = ResultSummary()
    for outcome in results:
        collector.add(outcome)
    summary = collector.summary()
    digits = any(outcome.sample.digit is not None for outcome in results)
    rows = [("images", str(summary["n"]))]
    if digits:
        rows.append(("right", _interval(summary)))
        rows.append(("mean over sources", f"{summary['mean_over_sources']:.2%} ({len(summary['by_source'])})"))
        rows += [
            (name, _interval(summary["by_size"][size]))
            for size, name in (("small", "up to 32 px"), ("larger", "larger"))
            if summary["by_size"][size]["n"]
        ]
        low, high = summary["sure_interval"]
        rows.append(("sure", f"{summary['sure_share']:.2%}"))
        rows.append(("of the sure, right", f"{summary['sure_accuracy']:.2%} ({low:.2%} to {high:.2%})"))
        rows.append(("calibration error", f"{calibration_error(results):.4f}"))
    else:
        rows.append(("not sure", _interval(summary)))
    return rows + [
        (verdict, f"{row['share']:.2%}")
        for verdict, row in summary["verdicts"].items()
        if row["n"] and verdict != "sure"
    ]


def kind_row(name: str, images: Sequence[LabelledImage], classifier: Classifier) -> str:
    """Return a row of the table of kinds. A simpler recipe that reads more is printed in bold."""
    results = [result for result in evaluate_images(images, classifier) if result.answer is not None]
    verdicts = [result.answer.verdict for result in results if result.answer is not None]
    sure_share = verdicts.count(Verdict.SURE) / len(results)
    if images[0].digit is None:
        caught_share = sum(verdict in CAUGHT for verdict in verdicts) / len(results)
        return f"| {name} | {len(results)} | not sure {1 - sure_share:.1%} | caught {caught_share:.1%} | | | |"
    right_share = sum(result.is_correct for result in results) / len(results)
    surely_wrong = sum(
        verdict is Verdict.SURE and not result.is_correct for verdict, result in zip(verdicts, results, strict=True)
    )
    steps = step_accuracy(images, classifier, {name: STEPS[name] for name in list(STEPS)[:2]})
    shares = " | ".join(f"{share:.1%}" for share in (right_share, sure_share))
    return (
        f"| {name} | {len(results)} | {shares} | {surely_wrong} | "
        + " | ".join(f"**{share:.1%}**" if share > right_share else f"{share:.1%}" for share in steps.values())
        + " |"
    )


def external_sets(folder: Path) -> dict[str, list[LabelledImage]]:
    """Return the digits of each .npz file in a folder, in their own frame and with a margin."""
    sets = {}
    for path in sorted(folder.glob("*.npz")):
        arrays = np.load(path)
        for frame in ("own frame", "margin"):
            pad = arrays["images"].shape[1] // 4 if frame == "margin" else 0
            images = np.pad(arrays["images"], ((0, 0), (pad, pad), (pad, pad)))
            sets[f"{path.stem}, {frame}"] = mnist_images(images, arrays["labels"])
    return sets


def print_kinds(sets: Iterable[tuple[str, Sequence[LabelledImage]]], classifier: Classifier) -> None:
    """Print the table of kinds. Each set is made when its row is printed: together they take gigabytes."""
    print("| kind | images | right | sure | surely wrong | grey, resize, / 255 | border, Otsu, box, centre of mass |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, images in sets:
        print(kind_row(name, images, classifier), flush=True)


def _interval(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    return f"{row['accuracy']:.2%} ({row['correct']} of {row['n']}; {low:.2%} to {high:.2%})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of folders of labelled images")
    parser.add_argument("--mnist", action="store_true", help="evaluate the MNIST test set too")
    parser.add_argument("--bundle", type=Path, default=BASE_FOLDER / BUNDLE_FILE, help="bundle of another model")
    parser.add_argument("--kinds", action="store_true", help="evaluate the named sets made from MNIST's test digits")
    parser.add_argument("--external", type=Path, metavar="DIR", help="folder of .npz files with images and labels")
    options = parser.parse_args()
    if not (options.images or options.mnist or options.kinds or options.external):
        parser.error("give --images DIR, --mnist, --kinds or --external DIR")
    classifier = load_classifier(options.bundle.read_bytes())
    folders = sorted(folder for folder in options.images.iterdir() if folder.is_dir()) if options.images else []
    sets = {folder.name: label_from_path(folder) for folder in folders}
    if options.mnist:
        mnist = load_mnist()
        sets["MNIST test"] = mnist_images(mnist.test_images, mnist.test_labels)
    for name, images in sets.items():
        print(f"{name}")
        for row, value in figures(list(evaluate_images(images, classifier))):
            print(f"  {row:<20} {value}")
        if any(sample.digit is not None for sample in images):
            for step, accuracy in step_accuracy(images, classifier).items():
                print(f"  {step:<36} {accuracy:.2%}")
    if options.kinds:
        mnist = load_mnist()
        print_kinds(((name, list(labelled_images(name, mnist))) for name in (*KINDS, *SHAPES)), classifier)
    if options.external:
        print_kinds(external_sets(options.external).items(), classifier)


if __name__ == "__main__":
    main()
