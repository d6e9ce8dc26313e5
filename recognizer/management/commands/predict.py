"""`manage.py predict`: what a model says of pictures in files.

    python manage.py predict seven.png scans/ --show seen/

A folder stands for all pictures in it and below.
"""

from __future__ import annotations

import json
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser
from PIL import Image

from ml.evaluation.folder_evaluation import ImageResult, LabelledImage, evaluate_images, find_images
from recognizer.management.model_selection import add_model_arguments, chosen_classifier


class Command(BaseCommand):
    help = "Say which digit each picture shows. A file that cannot be read is reported and the rest go on."
    # The shipped model needs neither a database nor a worker.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="pictures, or folders of them")
        parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
        parser.add_argument("--show", type=Path, metavar="DIR", help="save the 28x28 that the model saw in this folder")
        add_model_arguments(parser)

    def handle(self, *args: object, **options: object) -> None:
        classifier = chosen_classifier(options)
        try:
            paths = find_images(options["paths"])
        except FileNotFoundError as error:
            raise CommandError(str(error)) from error
        if not paths:
            raise CommandError("There is no picture in what was given.")
        if options["show"]:
            options["show"].mkdir(parents=True, exist_ok=True)
        width = max(len(str(path)) for path in paths)
        rows, unreadable = [], 0
        for number, outcome in enumerate(
            evaluate_images((LabelledImage(str(path), path) for path in paths), classifier), start=1
        ):
            unreadable += outcome.answer is None
            rows.append(_row(outcome))
            if not options["json"]:
                self._print(outcome, width)
            if options["show"] and outcome.prepared is not None:
                name = f"{number:0{len(str(len(paths)))}d}_{Path(outcome.picture.name).stem}.png"
                Image.fromarray(outcome.prepared.pixels).save(options["show"] / name)
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False))
        if unreadable:
            raise CommandError(f"{unreadable} of {len(paths)} files could not be read.", returncode=1)

    def _print(self, outcome: ImageResult, width: int) -> None:
        answer, name = outcome.answer, outcome.picture.name
        if answer is None:
            self.stderr.write(f"{name:<{width}}  {outcome.error}")
        elif outcome.prepared.blank:
            self.stdout.write(f"{name:<{width}}  -          {answer.verdict}")
        else:
            self.stdout.write(f"{name:<{width}}  {answer.digit}  {_percent(answer.certainty):>8}  {answer.verdict}")


def _percent(certainty: float) -> str:
    """0.99403 → 99.40%. Never rounds the last doubt away: no answer is certain."""
    return ">99.99%" if certainty >= 0.99995 else f"{certainty:.2%}"


def _row(outcome: ImageResult) -> dict[str, object]:
    answer = outcome.answer
    if answer is None:
        return {"file": outcome.picture.name, "error": outcome.error}
    blank = outcome.prepared.blank
    return {
        "file": outcome.picture.name,
        "digit": None if blank else answer.digit,
        "certainty": None if blank else answer.certainty,
        "verdict": answer.verdict.value,
        "runner_up": None if blank else answer.runner_up,
        "probabilities": None if blank else list(answer.probabilities),
    }
