"""Effect of the handicaps with which the model chooses a reading (`ml.serving.choice`), on labelled images.

    python -m bench.readings --images my-images

Prints a row for each subfolder of DIR and for each set of `bench.kinds`: right, sure and surely wrong if only the plain
reading is used, and with the handicaps of the bundle times 0, 1 and 2. docs/adr/0017-the-model-chooses-the-reading.md
has the last output.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.kinds import COUNT, KINDS, SHAPES, labelled_images
from ml.data.mnist import load_mnist
from ml.evaluation.folder_evaluation import ImageResult, evaluate_images, label_from_path
from ml.serving import bundle as bundles
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import Classifier, load_classifier
from ml.serving.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.evaluation.folder_evaluation import LabelledImage

# Factors of the handicaps; None: only the plain reading is used.
FACTORS = {"plain reading only": None, "handicaps x 0": 0.0, "handicaps x 1": 1.0, "handicaps x 2": 2.0}


def scaled(data: bytes, factor: float | None) -> Classifier:
    """Load a bundle with its handicaps multiplied by a factor."""
    bundle = bundles.read(data)
    handicaps = bundle.manifest.readings or {}
    scaled_handicaps = {} if factor is None else {kind: value * factor for kind, value in handicaps.items()}
    return load_classifier(bundles.write(bundle.model, replace(bundle.manifest, readings=scaled_handicaps)))


def print_row(name: str, samples: Sequence[LabelledImage], classifiers: Mapping[str, Classifier]) -> None:
    """Print the shares of a set for each classifier. The images are prepared once."""
    first = next(iter(classifiers.values()))
    results = [result for result in evaluate_images(samples, first) if result.prepared is not None]
    readings = [result.prepared.readings for result in results if result.prepared is not None]
    share = sum(len(row) > 1 for row in readings) / len(readings)
    cells = [
        _cell(
            [
                replace(result, answer=answer)
                for result, answer in zip(results, classifier.answer_readings(readings), strict=True)
            ]
        )
        for classifier in classifiers.values()
    ]
    print(f"| {name} | {len(results)} | {share:.0%} | {' | '.join(cells)} |", flush=True)


def _cell(results: Sequence[ImageResult]) -> str:
    """Format right, sure and the number of surely wrong answers; of non-digits the share that is not sure."""
    right = sum(result.is_correct for result in results)
    if results[0].sample.digit is None:
        return f"not sure {right / len(results):.1%}"
    sure = [result for result in results if result.answer and result.answer.verdict is Verdict.SURE]
    wrong = sum(not result.is_correct for result in sure)
    return f"{right / len(results):.1%}, {len(sure) / len(results):.1%}, {wrong}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of folders of labelled images")
    parser.add_argument("--bundle", type=Path, default=BASE_FOLDER / BUNDLE_FILE, help="bundle of another model")
    parser.add_argument("--count", type=int, default=COUNT, help="number of images of each kind (%(default)s)")
    options = parser.parse_args()
    data = options.bundle.read_bytes()
    classifiers = {name: scaled(data, factor) for name, factor in FACTORS.items()}
    print(f"| set | images | with further readings | {' | '.join(classifiers)} |")
    print(f"| --- | --- | --- | {' | '.join('---' for _ in classifiers)} |")
    for folder in sorted(options.images.iterdir()) if options.images else []:
        if folder.is_dir():
            print_row(folder.name, label_from_path(folder), classifiers)
    mnist = load_mnist()
    for name in (*KINDS, *SHAPES):
        print_row(name, list(labelled_images(name, mnist, options.count)), classifiers)


if __name__ == "__main__":
    main()
