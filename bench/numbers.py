"""Accuracy of reading whole numbers, by kind.

    python -m bench.numbers                                  # the synthetic suite, 60 images of each kind
    python -m bench.numbers --images ../shared/data/wild/multi ../shared/data/wild/multi-2
    python -m bench.numbers --sheet numbers.png              # examples of each kind

An image counts as right if all of its digits and lines are. Digit errors are the edit distance to the true digits, as
a share of them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bench.support.number_strings import KINDS, compose
from ml.data.mnist import Mnist, load_mnist
from ml.numbers import read_number
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import Classifier, load_classifier
from ml.serving.images import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Sample = tuple[str, np.ndarray, str]


def edit_distance(first: str, second: str) -> int:
    """Return the Levenshtein distance."""
    row = list(range(len(second) + 1))
    for i, character in enumerate(first, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(second, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (character != other))
    return row[-1]


def synthetic_samples(kind: str, mnist: Mnist, count: int) -> Iterator[Sample]:
    """Yield name, image and text of the suite's images of one kind."""
    for seed in range(count):
        sample = compose(kind, mnist, seed)
        yield f"{kind} {seed}", sample.pixels, sample.text


def folder_samples(folder: Path) -> Iterator[Sample]:
    """Yield the images `<source>/<n>_<label>.<ext>` of a folder; `-` separates lines in a label."""
    for path in sorted(folder.glob("*/*_*")):
        label = path.stem.split("_", 1)[1].replace("-", "\n")
        yield f"{path.parent.name}/{path.name}", np.asarray(decode(path.read_bytes())), label


def report(name: str, samples: Iterable[Sample], classifier: Classifier, *, verbose: bool) -> None:
    """Print a row of the table, and the misses."""
    exact = sure = sure_right = errors = digits = 0
    durations, misses = [], []
    for label, pixels, text in samples:
        started = time.process_time()
        reading = read_number(pixels, classifier)
        durations.append((time.process_time() - started) * 1000)
        is_right = reading.text == text
        exact += is_right
        sure += reading.is_sure
        sure_right += reading.is_sure and is_right
        errors += edit_distance(reading.text.replace("\n", ""), text.replace("\n", ""))
        digits += len(text.replace("\n", ""))
        if not is_right:
            misses.append(f"    {label}: {text!r} read as {reading.text!r}{' (sure)' if reading.is_sure else ''}")
    count = len(durations)
    print(
        f"| {name} | {count} | {exact / count:.1%} | {errors / digits:.1%} | {sure / count:.0%} "
        f"({sure - sure_right} wrong) | {np.median(durations):.0f}, {max(durations):.0f} |"
    )
    if verbose:
        print("\n".join(misses))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--images", nargs="+", type=Path, default=[])
    parser.add_argument("--bundle", type=Path, default=BASE_FOLDER / BUNDLE_FILE)
    parser.add_argument("--sheet", type=Path, help="write examples to this file instead")
    parser.add_argument("--misses", action="store_true", help="list what was misread")
    options = parser.parse_args()
    mnist = load_mnist()
    if options.sheet:
        write_sheet(options.sheet, mnist, options.kinds)
        return
    classifier = load_classifier(options.bundle.read_bytes())
    print("| kind | images | exact | digit errors | sure | ms, worst |\n| --- | --- | --- | --- | --- | --- |")
    for folder in options.images:
        report(folder.name, folder_samples(folder), classifier, verbose=options.misses)
    if not options.images:
        for kind in options.kinds:
            report(kind, synthetic_samples(kind, mnist, options.count), classifier, verbose=options.misses)


def write_sheet(path: Path, mnist: Mnist, kinds: Iterable[str]) -> None:
    """Write three examples of each kind, a row for each."""
    rows = []
    for kind in kinds:
        row = np.full((110, 1230), 128, np.uint8)
        for i in range(3):
            pixels = compose(kind, mnist, i).pixels
            scale = min(400 / pixels.shape[1], 100 / pixels.shape[0])
            small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            row[5 : 5 + small.shape[0], 5 + i * 410 : 5 + i * 410 + small.shape[1]] = small
        rows.append(row)
    cv2.imwrite(str(path), np.concatenate(rows))


if __name__ == "__main__":
    main()
