"""How a classifier does on pictures from files: reading them, their labels, and the figures over them.

`manage.py predict` and `manage.py evaluate` use it. A picture goes the way that a visitor's goes: decoded, prepared,
answered; so what is measured is what is served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from ml.evaluation.metrics import wilson
from ml.preprocessing import Prepared, prepare_image
from ml.serving.classifier import Answer, Classifier
from ml.serving.images import ImageError, decode
from ml.serving.verdicts import Verdict

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
# A picture whose long side has at most so many pixels is counted among the small ones.
SMALL_SAMPLE = 32
_BATCH = 64
_REFUSALS = frozenset({Verdict.NOT_A_DIGIT, Verdict.SEVERAL, Verdict.BLANK, Verdict.UNSURE})


@dataclass(frozen=True)
class LabelledImage:
    """A picture to be answered.

    Attributes:
        name: what it is called in reports, usually its path below the folder that was given.
        path: the file; None when `image` holds the picture already.
        image: the picture, for those that come from no file.
        label: what it truly shows: "0" to "9", several digits, or anything else for no digit; "" when unknown.
        source: where it comes from: pictures of one source share a hand, a pen, a camera.
    """

    name: str
    path: Path | None = None
    image: Image.Image | None = None
    label: str = ""
    source: str = ""

    @property
    def digit(self) -> int | None:
        """The true digit, or None when the picture shows no single digit."""
        return int(self.label) if len(self.label) == 1 and self.label in "0123456789" else None


@dataclass(frozen=True)
class ImageResult:
    """What became of a picture: an answer, or the reason why there is none.

    Attributes:
        picture: what was asked.
        image: decoded; None when it could not be.
        prepared: what the model saw; None likewise.
        answer: what it said; None likewise.
        error: why the picture could not be read, in one sentence; "" when it could.
    """

    picture: LabelledImage
    image: Image.Image | None = None
    prepared: Prepared | None = None
    answer: Answer | None = None
    error: str = ""

    @property
    def correct(self) -> bool:
        """For a digit: the best guess is right, whatever the verdict. For anything else: it was not called a digit
        surely. A picture that could not be read, or was found blank, holds no right guess."""
        if self.answer is None:
            return False
        if self.picture.digit is None:
            return self.answer.verdict in _REFUSALS
        return self.answer.verdict is not Verdict.BLANK and self.answer.digit == self.picture.digit


def find_images(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and of each folder all pictures in it and below, in a fixed order.

    Args:
        paths: files and folders. A file that is named is taken whatever its suffix.

    Raises:
        FileNotFoundError: one of them does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            found.extend(sorted(file for file in below if not file.name.startswith(".")))
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(f"There is no file or folder {path}.")
    return found


def label_from_path(folder: Path) -> list[LabelledImage]:
    """The pictures of a folder with their labels.

    The label is the name of the folder that holds the picture if that is one digit, else what follows the last `_` in
    the file's name. The source is the folder, below the one that is given, in which the picture or its digit's folder
    lies.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    pictures = []
    for path in find_images([folder]):
        holder = path.parent
        in_digit_folder = len(holder.name) == 1 and holder.name in "0123456789" and holder != folder
        label = holder.name if in_digit_folder else path.stem.rsplit("_", 1)[-1]
        source = (holder.parent if in_digit_folder else holder).relative_to(folder).as_posix()
        name = path.relative_to(folder).as_posix()
        pictures.append(LabelledImage(name=name, path=path, label=label, source="" if source == "." else source))
    return pictures


def mnist_images(images: np.ndarray, labels: np.ndarray) -> list[LabelledImage]:
    """MNIST's images, (N, 28, 28) uint8, as pictures like any other."""
    return [
        LabelledImage(name=f"{number}", image=Image.fromarray(image), label=str(int(label)), source="mnist")
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    ]


def evaluate_images(pictures: Iterable[LabelledImage], classifier: Classifier) -> Iterator[ImageResult]:
    """Answer pictures one after another, in batches, so that a folder of any size fits into memory."""
    remaining = iter(pictures)
    while group := list(islice(remaining, _BATCH)):
        seen = [_prepare(picture) for picture in group]
        readable = [outcome for outcome in seen if outcome.prepared is not None]
        pixels = np.stack([o.prepared.pixels for o in readable]) if readable else np.zeros((0, 28, 28), np.uint8)
        answers = iter(classifier.answer(pixels, [o.prepared.ink for o in readable]))
        for outcome in seen:
            if outcome.prepared is None:
                yield outcome
            else:
                yield ImageResult(outcome.picture, outcome.image, outcome.prepared, next(answers))


def _prepare(picture: LabelledImage) -> ImageResult:
    try:
        image = picture.image if picture.path is None else decode(picture.path.read_bytes())
    except (ImageError, OSError) as error:
        return ImageResult(picture, error=str(error))
    return ImageResult(picture, image, prepare_image(image))


class ResultSummary:
    """The figures over many outcomes, added one by one.

    `summary` has the keys that `manage.py evaluate --json` writes: n, correct, accuracy, interval, mean_over_sources,
    by_size, by_source, verdicts, sure_accuracy, sure_share, confusion, unreadable.
    """

    def __init__(self) -> None:
        self._right: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._right_by_size: Counter[str] = Counter()
        self._seen_by_size: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._sure_right = 0
        self._unreadable: list[dict[str, str]] = []
        # rows: the ten digits and "other" for what is no single digit; columns: the best guess
        self._confusion = np.zeros((11, 10), np.int64)

    def add(self, outcome: ImageResult) -> None:
        """Count one more outcome; a picture that could not be read counts as wrong."""
        picture, right = outcome.picture, outcome.correct
        self._seen[picture.source] += 1
        self._right[picture.source] += right
        if outcome.answer is None or outcome.image is None:
            self._unreadable.append({"file": picture.name, "error": outcome.error})
            return
        size = "small" if max(outcome.image.size) <= SMALL_SAMPLE else "larger"
        self._seen_by_size[size] += 1
        self._right_by_size[size] += right
        self._verdicts[outcome.answer.verdict.value] += 1
        self._sure_right += right and outcome.answer.verdict is Verdict.SURE
        if outcome.answer.verdict is not Verdict.BLANK:
            self._confusion[10 if picture.digit is None else picture.digit, outcome.answer.digit] += 1

    def summary(self) -> dict[str, object]:
        """All figures, JSON-able. Shares of nothing are None."""
        n, correct = sum(self._seen.values()), sum(self._right.values())
        by_source = {source: _share(self._right[source], self._seen[source]) for source in sorted(self._seen)}
        sure = self._verdicts[Verdict.SURE]
        return {
            **_share(correct, n),
            "mean_over_sources": float(np.mean([row["accuracy"] for row in by_source.values()])) if n else None,
            "by_size": {
                size: _share(self._right_by_size[size], self._seen_by_size[size]) for size in ("small", "larger")
            },
            "by_source": by_source,
            "verdicts": {
                verdict.value: {
                    "n": self._verdicts[verdict],
                    "share": self._verdicts[verdict] / n if n else None,
                }
                for verdict in Verdict
            },
            "sure_accuracy": self._sure_right / sure if sure else None,
            "sure_interval": list(wilson(self._sure_right, sure)),
            "sure_share": sure / n if n else None,
            "confusion": {
                "rows": [*"0123456789", "other"],
                "columns": [*"0123456789"],
                "counts": self._confusion.tolist(),
            },
            "unreadable": self._unreadable,
        }


def _share(right: int, n: int) -> dict[str, object]:
    return {"n": n, "correct": right, "accuracy": right / n if n else None, "interval": list(wilson(right, n))}
