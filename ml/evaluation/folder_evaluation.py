"""Evaluation of a classifier on image files: reading images and labels, predicting, and metrics.

`manage.py predict` and `manage.py evaluate` use it. Images take the same path as uploads (decode, preprocess, predict),
so the metrics describe what the site serves.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ml.evaluation.metrics import wilson
from ml.preprocessing import Prepared, prepare_image
from ml.serving.images import ImageError, decode
from ml.serving.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ml.readings import Reading
    from ml.serving.classifier import Classifier
    from ml.serving.verdicts import Answer

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
# Images whose long side has at most this many pixels are counted as small.
MAX_SMALL_SIDE = 32
_BATCH_SIZE = 64
_REFUSALS = frozenset({Verdict.NOT_A_DIGIT, Verdict.SEVERAL, Verdict.BLANK, Verdict.UNSURE})


@dataclass(frozen=True)
class LabelledImage:
    """An image to be classified.

    Attributes:
        name: display name, usually the path relative to the evaluated folder.
        path: the file; None if `image` holds the decoded image.
        image: the decoded image, if it does not come from a file.
        label: ground truth: "0" to "9", several digits, or any other text for a non-digit; "" if unknown.
        source: group of the image: images of one source share a writer, a pen or a camera.
    """

    name: str
    path: Path | None = None
    image: Image.Image | None = None
    label: str = ""
    source: str = ""

    @property
    def digit(self) -> int | None:
        """The true digit, or None if the image does not show exactly one digit."""
        return int(self.label) if len(self.label) == 1 and self.label in "0123456789" else None


@dataclass(frozen=True)
class ImageResult:
    """The prediction for an image, or the reason why there is none.

    Attributes:
        sample: the labelled image.
        image: the decoded image; None if it could not be decoded.
        prepared: the readings of the image; None if it could not be decoded.
        answer: the prediction; None if the image could not be decoded.
        error: why the image could not be read, in one sentence; "" if it was read.
    """

    sample: LabelledImage
    image: Image.Image | None = None
    prepared: Prepared | None = None
    answer: Answer | None = None
    error: str = ""

    @property
    def reading(self) -> Reading | None:
        """The reading that the prediction is about; None if the image could not be decoded."""
        return self.prepared.readings[self.answer.reading] if self.prepared and self.answer else None

    @property
    def is_correct(self) -> bool:
        """True if the prediction is correct.

        For a digit: the predicted digit is the label, with any verdict except "blank". For a non-digit: the
        verdict is not "sure". Unreadable images are never correct.
        """
        if self.answer is None:
            return False
        if self.sample.digit is None:
            return self.answer.verdict in _REFUSALS
        return self.answer.verdict is not Verdict.BLANK and self.answer.digit == self.sample.digit


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the given files, and all images below the given folders, in a fixed order.

    Args:
        paths: files and folders. Files are returned with any suffix.

    Raises:
        FileNotFoundError: a path does not exist.
    """
    images: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            images.extend(sorted(file for file in below if not file.name.startswith(".")))
        elif path.exists():
            images.append(path)
        else:
            raise FileNotFoundError(f"There is no file or folder {path}.")
    return images


def label_from_path(folder: Path) -> list[LabelledImage]:
    """Return the images of a folder with their labels.

    The label is the name of the parent folder if that is a single digit, otherwise the part of the file name after the
    last `_`. The source is the path, relative to `folder`, of the folder that contains the image or its digit's folder.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    samples = []
    for path in find_images([folder]):
        parent = path.parent
        in_digit_folder = len(parent.name) == 1 and parent.name in "0123456789" and parent != folder
        label = parent.name if in_digit_folder else path.stem.rsplit("_", 1)[-1]
        source = (parent.parent if in_digit_folder else parent).relative_to(folder).as_posix()
        name = path.relative_to(folder).as_posix()
        samples.append(LabelledImage(name=name, path=path, label=label, source="" if source == "." else source))
    return samples


def mnist_images(images: np.ndarray, labels: np.ndarray) -> list[LabelledImage]:
    """Convert MNIST images, (N, 28, 28) uint8, to labelled images with the source "mnist"."""
    return [
        LabelledImage(name=f"{number}", image=Image.fromarray(image), label=str(int(label)), source="mnist")
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    ]


def evaluate_images(samples: Iterable[LabelledImage], classifier: Classifier) -> Iterator[ImageResult]:
    """Classify images in batches, so that a folder of any size fits into memory."""
    remaining = iter(samples)
    while batch := list(islice(remaining, _BATCH_SIZE)):
        results = [_prepare(sample) for sample in batch]
        images = [result.prepared.readings for result in results if result.prepared is not None]
        answers = iter(classifier.answer_readings(images))
        for result in results:
            if result.prepared is None:
                yield result
            else:
                yield ImageResult(result.sample, result.image, result.prepared, next(answers))


def _prepare(sample: LabelledImage) -> ImageResult:
    try:
        image = _load(sample)
    except (ImageError, OSError) as error:
        return ImageResult(sample, error=str(error))
    return ImageResult(sample, image, prepare_image(image))


def _load(sample: LabelledImage) -> Image.Image:
    if sample.path is not None:
        return decode(sample.path.read_bytes())
    if sample.image is None:
        raise ValueError(f"{sample.name} has neither a path nor an image.")
    return sample.image


class ResultSummary:
    """Metrics over many results, which are added one by one.

    `summary` has the keys that `manage.py evaluate --json` writes: n, correct, accuracy, interval, mean_over_sources,
    by_size, by_source, verdicts, sure_accuracy, sure_share, confusion, unreadable.
    """

    def __init__(self) -> None:
        self._is_correct: defaultdict[str, list[bool]] = defaultdict(list)  # by source
        self._is_correct_by_size: dict[str, list[bool]] = {"small": [], "larger": []}
        self._is_correct_by_verdict: dict[Verdict, list[bool]] = {verdict: [] for verdict in Verdict}
        self._unreadable: list[dict[str, str]] = []
        # Rows: the ten digits, then "other" for non-digits. Columns: the predicted digit.
        self._confusion = np.zeros((11, 10), np.int64)

    def add(self, result: ImageResult) -> None:
        """Count one more result. Unreadable images count as wrong."""
        sample, is_correct = result.sample, result.is_correct
        self._is_correct[sample.source].append(is_correct)
        if result.answer is None or result.image is None:
            self._unreadable.append({"file": sample.name, "error": result.error})
            return
        size = "small" if max(result.image.size) <= MAX_SMALL_SIDE else "larger"
        self._is_correct_by_size[size].append(is_correct)
        self._is_correct_by_verdict[result.answer.verdict].append(is_correct)
        if result.answer.verdict is not Verdict.BLANK:
            self._confusion[10 if sample.digit is None else sample.digit, result.answer.digit] += 1

    def summary(self) -> dict[str, Any]:
        """Return all metrics, JSON-serializable. Shares of an empty set are None."""
        total = _share([is_correct for row in self._is_correct.values() for is_correct in row])
        by_source = {source: _share(self._is_correct[source]) for source in sorted(self._is_correct)}
        verdicts = {verdict.value: len(row) for verdict, row in self._is_correct_by_verdict.items()}
        sure = _share(self._is_correct_by_verdict[Verdict.SURE])
        n = total["n"]
        return {
            **total,
            "mean_over_sources": float(np.mean([row["accuracy"] for row in by_source.values()])) if n else None,
            "by_size": {size: _share(row) for size, row in self._is_correct_by_size.items()},
            "by_source": by_source,
            "verdicts": {name: {"n": count, "share": count / n if n else None} for name, count in verdicts.items()},
            "sure_accuracy": sure["accuracy"],
            "sure_interval": sure["interval"],
            "sure_share": sure["n"] / n if n else None,
            "confusion": {
                "rows": [*"0123456789", "other"],
                "columns": [*"0123456789"],
                "counts": self._confusion.tolist(),
            },
            "unreadable": self._unreadable,
        }


def _share(is_correct: list[bool]) -> dict[str, Any]:
    n, correct = len(is_correct), sum(is_correct)
    return {"n": n, "correct": correct, "accuracy": correct / n if n else None, "interval": list(wilson(correct, n))}
