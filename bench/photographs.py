"""Accuracy of the shipped model on simulated photographs, by kind of paper and light.

    python -m bench.photographs

The images are test digits of MNIST, rendered with another pen on all kinds of paper (`ml.data.photo_simulation`).
Training has seen none of these digits, and no image of the kinds without a star.
`docs/appendix/accuracy-history.md` has the last output.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.accuracy import calibration_error, otsu
from digitsite.testing.simulated_photos import photographs
from ml.data.photo_simulation import KINDS
from ml.evaluation.folder_evaluation import ImageResult, ResultSummary, evaluate_images
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import Classifier, load_classifier
from ml.serving.verdicts import Verdict
from ml.training.datasets import PHOTO_KINDS

NUMBER = 500


@dataclass(frozen=True)
class Row:
    """Results for one kind of photograph, as shares of its images.

    Attributes:
        right: Correct predictions.
        otsu: Correct predictions of the same model after Otsu's threshold alone.
        sure: Predictions with the verdict "sure".
        sure_right: Correct predictions as a share of the sure ones.
        refused: Images with the verdict "not a digit".
        blank: Images without ink.
    """

    right: float
    otsu: float
    sure: float
    sure_right: float
    refused: float
    blank: float


def summarize(results: list[ImageResult], classifier: Classifier) -> Row:
    """Return the results of one kind."""
    collector = ResultSummary()
    for outcome in results:
        collector.add(outcome)
    summary = collector.summary()
    images = [outcome.sample.image for outcome in results if outcome.sample.image is not None]
    plain = classifier.logits(np.stack([otsu(image) for image in images])).argmax(axis=1)
    share = {str(verdict): row["share"] for verdict, row in summary["verdicts"].items()}
    return Row(
        right=summary["accuracy"],
        otsu=float(np.mean(plain == [outcome.sample.digit for outcome in results])),
        sure=summary["sure_share"],
        sure_right=summary["sure_accuracy"] or 0.0,
        refused=share.get(Verdict.NOT_A_DIGIT, 0.0),
        blank=share.get(Verdict.BLANK, 0.0),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=NUMBER, help="photographs of each kind (%(default)s)")
    parser.add_argument("--bundle", type=Path, default=BASE_FOLDER / BUNDLE_FILE, help="bundle of another model")
    options = parser.parse_args()
    classifier = load_classifier(options.bundle.read_bytes())
    print(f"{'':<24}{'right':>9}{'Otsu':>9}{'sure':>9}{'of these':>10}{'refused':>9}{'blank':>8}")
    rows, all_results = [], []
    for kind in KINDS:
        results = list(evaluate_images(photographs(kind, options.number), classifier))
        all_results += results
        rows.append(row := summarize(results, classifier))
        _show(kind + (" *" if kind in PHOTO_KINDS else ""), row)
    unseen = [row for kind, row in zip(KINDS, rows, strict=True) if kind not in PHOTO_KINDS]
    _show("mean", _mean(rows))
    _show("mean without a star", _mean(unseen))
    print(f"calibration error {calibration_error(all_results):.4f}")


def _mean(rows: list[Row]) -> Row:
    return Row(*np.mean([list(vars(row).values()) for row in rows], axis=0).tolist())


def _show(name: str, row: Row) -> None:
    print(
        f"{name:<24}{row.right:>9.2%}{row.otsu:>9.2%}{row.sure:>9.2%}{row.sure_right:>10.2%}"
        f"{row.refused:>9.2%}{row.blank:>8.2%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
