"""`manage.py evaluate`: evaluate a model on a folder of labelled images, or on the MNIST test set.

    python manage.py evaluate --images my-digits --report my-report

The label of an image is the name of its folder if that is a single digit, otherwise the part of its name after the last
`_`: `3/anything.png` and `scan-17_3.png` are both a 3. Any other label means "not a digit".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ml.data.mnist import MnistError, load_mnist
from ml.evaluation.folder_evaluation import LabelledImage, ResultSummary, evaluate_images, label_from_path, mnist_images
from ml.evaluation.html_report import describe, render_card, render_page
from recognizer.management.model_selection import add_model_arguments, classifier_from_options


class Command(BaseCommand):
    """Evaluate a model on labelled images."""

    help = "Evaluate a model on labelled images: accuracy, verdicts, confusion matrix, and a page with every error."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        images = parser.add_mutually_exclusive_group(required=True)
        images.add_argument("--images", type=Path, metavar="DIR", help="folder of labelled images")
        images.add_argument("--mnist", action="store_true", help="the MNIST test set, as 28x28 images")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the metrics to this file")
        parser.add_argument(
            "--report", type=Path, metavar="DIR", help="write an HTML page with every misclassified image"
        )
        add_model_arguments(parser)

    def handle(self, *args: object, **options: Any) -> None:
        """Evaluate the model, print the metrics and write the reports."""
        classifier = classifier_from_options(options)
        try:
            samples = _mnist_samples() if options["mnist"] else label_from_path(options["images"])
        except (FileNotFoundError, MnistError) as error:
            raise CommandError(str(error)) from error
        if not samples:
            raise CommandError(f"There are no images in {options['images']}.")
        results, cards = ResultSummary(), []
        for result in evaluate_images(samples, classifier):
            results.add(result)
            if options["report"] and not result.is_correct:
                cards.append(render_card(result))
        summary = results.summary()
        self.stdout.write(describe(summary))
        if options["json"]:
            _write(options["json"], json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
        if options["report"]:
            title = "MNIST test set" if options["mnist"] else f"Images in {options['images'].name}"
            _write(options["report"] / "index.html", render_page(title, summary, cards))
            self.stdout.write(f"every error: {options['report'] / 'index.html'}")


def _mnist_samples() -> list[LabelledImage]:
    mnist = load_mnist()
    return mnist_images(mnist.test_images, mnist.test_labels)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
