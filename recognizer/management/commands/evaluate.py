"""`manage.py evaluate`: how well a model reads a folder of labelled pictures, or the MNIST test set.

    python manage.py evaluate --images my-digits --report my-report

The label of a picture is the name of its folder if that is one digit, else what follows the last `_` in its name:
`3/anything.png` and `scan-17_3.png` are both a 3. Any other label counts as "not a digit".
"""

from __future__ import annotations

import json
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ml.evaluation.folder_evaluation import LabelledImage, ResultSummary, evaluate_images, label_from_path, mnist_images
from ml.evaluation.html_report import describe, render_card, render_page
from recognizer.management.model_selection import add_model_arguments, chosen_classifier


class Command(BaseCommand):
    help = "Measure a model on labelled pictures: accuracy, verdicts, confusion, and a page with every miss."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--images", type=Path, metavar="DIR", help="folder of labelled pictures")
        what.add_argument("--mnist", action="store_true", help="the MNIST test set, as 28x28 pictures")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
        parser.add_argument("--report", type=Path, metavar="DIR", help="write an HTML page with every miss")
        add_model_arguments(parser)

    def handle(self, *args: object, **options: object) -> None:
        classifier = chosen_classifier(options)
        pictures = _mnist() if options["mnist"] else _folder(options["images"])
        tally, cards = ResultSummary(), []
        for outcome in evaluate_images(pictures, classifier):
            tally.add(outcome)
            if options["report"] and not outcome.correct:
                cards.append(render_card(outcome))
        summary = tally.summary()
        self.stdout.write(describe(summary))
        if options["json"]:
            _write(options["json"], json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
        if options["report"]:
            title = "MNIST test set" if options["mnist"] else f"Pictures in {options['images'].name}"
            _write(options["report"] / "index.html", render_page(title, summary, cards))
            self.stdout.write(f"every miss: {options['report'] / 'index.html'}")


def _folder(folder: Path) -> list[LabelledImage]:
    try:
        pictures = label_from_path(folder)
    except FileNotFoundError as error:
        raise CommandError(str(error)) from error
    if not pictures:
        raise CommandError(f"There is no picture in {folder}.")
    return pictures


def _mnist() -> list[LabelledImage]:
    from ml.data.mnist import MnistError, load_mnist

    try:
        mnist = load_mnist()
    except MnistError as error:
        raise CommandError(str(error)) from error
    return mnist_images(mnist.test_images, mnist.test_labels)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
