"""`manage.py predict`: classify images in files.

    python manage.py predict seven.png scans/ --show inputs/

A folder stands for all images in it and its subfolders.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from PIL import Image

from ml.evaluation.folder_evaluation import ImageResult, LabelledImage, evaluate_images, find_images
from ml.serving.verdicts import Verdict
from recognizer.management.model_selection import add_model_arguments, classifier_from_options


class Command(BaseCommand):
    """Classify images in files."""

    help = "Print which digit each image shows. Unreadable files are reported, the others are processed."
    # The shipped model needs neither a database nor a worker.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="images, or folders of images")
        parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
        parser.add_argument(
            "--show", type=Path, metavar="DIR", help="save the 28x28 inputs of the model in this folder"
        )
        add_model_arguments(parser)

    def handle(self, *args: object, **options: Any) -> None:
        """Classify the images and print the predictions."""
        classifier = classifier_from_options(options)
        try:
            paths = find_images(options["paths"])
        except FileNotFoundError as error:
            raise CommandError(str(error)) from error
        if not paths:
            raise CommandError("There are no images in these files and folders.")
        if options["show"]:
            options["show"].mkdir(parents=True, exist_ok=True)
        width = max(len(str(path)) for path in paths)
        rows, unreadable = [], 0
        samples = (LabelledImage(str(path), path) for path in paths)
        for number, result in enumerate(evaluate_images(samples, classifier), start=1):
            unreadable += result.answer is None
            rows.append(_row(result))
            if not options["json"]:
                self._print(result, width)
            if options["show"] and result.reading is not None:
                name = f"{number:0{len(str(len(paths)))}d}_{Path(result.sample.name).stem}.png"
                Image.fromarray(result.reading.pixels).save(options["show"] / name)
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False))
        if unreadable:
            raise CommandError(f"{unreadable} of {len(paths)} files could not be read.", returncode=1)

    def _print(self, result: ImageResult, width: int) -> None:
        answer, name = result.answer, result.sample.name
        if answer is None:
            self.stderr.write(f"{name:<{width}}  {result.error}")
        elif _is_blank(result):
            self.stdout.write(f"{name:<{width}}  -          {answer.verdict}")
        else:
            kind = f", {result.reading.kind}" if result.reading and answer.reading else ""
            self.stdout.write(
                f"{name:<{width}}  {answer.digit}  {_percent(answer.certainty):>8}  {answer.verdict}{kind}"
            )


def _percent(certainty: float) -> str:
    """Format a certainty, such as 99.40%. It is never rounded up to 100%, because no prediction is certain."""
    return ">99.99%" if certainty >= 0.99995 else f"{certainty:.2%}"


def _is_blank(result: ImageResult) -> bool:
    return result.answer is not None and result.answer.verdict is Verdict.BLANK


def _row(result: ImageResult) -> dict[str, object]:
    answer = result.answer
    if answer is None or result.reading is None:
        return {"file": result.sample.name, "error": result.error}
    is_blank = _is_blank(result)
    return {
        "file": result.sample.name,
        "digit": None if is_blank else answer.digit,
        "certainty": None if is_blank else answer.certainty,
        "verdict": answer.verdict.value,
        "reading": result.reading.kind.value,
        "runner_up": None if is_blank else answer.runner_up,
        "probabilities": None if is_blank else list(answer.probabilities),
    }
