"""`manage.py train`: train a model from the command line and write everything about it into a folder.

The shipped base model was made by `python manage.py train --recipe base --output ml/base`. When only the choice of
temperature and thresholds (`ml.evaluation.calibration`) has changed, `--calibrate-only` fits them anew to the model
in the folder.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ml.training.loop import RECIPES, Progress

if TYPE_CHECKING:
    from ml.data.mnist import Mnist


class Command(BaseCommand):
    help = "Train the digit model and write it, its figures and its plots into a folder."
    # Training needs MNIST and a folder; it must work before there is a database.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--recipe", choices=sorted(RECIPES), default="base",
            help="seed: the plain recipe to the letter, 10 epochs. base (default): with distortions, digits drawn by "
            "procedure, non-digits and a learning-rate schedule; takes more epochs.",
        )  # fmt: skip
        parser.add_argument("--output", type=Path, default=Path("training"), help="folder to write (%(default)s)")
        parser.add_argument(
            "--calibrate-only", action="store_true",
            help="train nothing: fit temperature and thresholds of the model in the output folder anew",
        )  # fmt: skip
        for field, kind in (
            ("epochs", _count),
            ("batch_size", _count),
            ("seed", _seed),
            ("learning_rate", _rate),
            ("l2", _strength),
        ):
            parser.add_argument(f"--{field.replace('_', '-')}", type=kind, help="default: the recipe's")
        parser.add_argument("--mnist", type=Path, help="mnist.npz or a folder of IDX files; default: MNIST_PATH")

    def handle(self, *args: object, **options: Any) -> None:
        # TensorFlow's C++ part reports harmless things as errors; Python's exceptions are not concerned
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from ml.data.mnist import MnistError, load_mnist

        _writable(options["output"])
        try:
            mnist = load_mnist(path=options["mnist"])
        except MnistError as error:
            raise CommandError(str(error)) from error
        metrics = self._calibrate(mnist, options) if options["calibrate_only"] else self._train(mnist, options)
        for key in ("validation_accuracy", "distorted_accuracy", "non_digits_refused", "ece"):
            self.stdout.write(f"{key.replace('_', ' ').capitalize()}: {metrics[key]:.4f}")
        self.stdout.write(self.style.SUCCESS(f"Test accuracy: {metrics['test_accuracy']:.4f}"))

    def _calibrate(self, mnist: Mnist, options: dict[str, Any]) -> dict[str, Any]:
        from ml.training.datasets import build_evaluation_sets
        from ml.training.export_pipeline import (
            ExportMismatchError,
            evaluate_model,
            export_recalibrated,
            read_folder,
            write_folder,
        )

        try:
            sealed, metrics, history = read_folder(options["output"])
        except ExportMismatchError as error:
            raise CommandError(str(error)) from error
        checks = build_evaluation_sets(mnist)
        sealed = export_recalibrated(sealed, checks)
        metrics |= evaluate_model(sealed, checks) | {"calibrated_by": _command()}
        write_folder(options["output"], sealed, metrics, history)
        return metrics

    def _train(self, mnist: Mnist, options: dict[str, Any]) -> dict[str, Any]:
        from tqdm import tqdm

        from ml.training.datasets import build_evaluation_sets, build_sources
        from ml.training.export_pipeline import (
            ExportMismatchError,
            describe,
            evaluate_model,
            export_model,
            write_folder,
        )
        from ml.training.loop import fit

        given = {
            f.name: options[f.name] for f in dataclasses.fields(RECIPES["seed"]) if options.get(f.name) is not None
        }
        recipe = dataclasses.replace(RECIPES[options["recipe"]], **given)
        started = time.monotonic()
        parts, checks = build_sources(recipe, mnist), build_evaluation_sets(mnist)
        rows = sum(part.size for part in parts)
        self.stdout.write(f"Recipe {recipe.name}: {recipe.epochs} epochs of {rows} images, seed {recipe.seed}.")

        with tqdm(total=recipe.epochs * -(-rows // recipe.batch_size), unit="batch", mininterval=0.5) as bar:

            def show(progress: Progress) -> None:
                bar.set_postfix_str(
                    f"epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.4f}, "
                    f"accuracy {progress.accuracy:.4f}",
                    refresh=False,
                )
                bar.update((progress.epoch - 1) * progress.batches + progress.batch - bar.n)

            try:
                model, history = fit(recipe, parts, checks.validation, on_progress=show)
            except KeyboardInterrupt as interrupt:
                raise CommandError("Stopped; nothing was written.") from interrupt

        try:
            sealed = export_model(model, recipe.name, checks)
        except ExportMismatchError as error:
            raise CommandError(str(error)) from error
        how = describe(recipe, _command(), time.monotonic() - started, rows)
        metrics = evaluate_model(sealed, checks) | how
        write_folder(options["output"], sealed, metrics, history)
        return metrics


def _command() -> str:
    return shlex.join(["python", "manage.py", *sys.argv[1:]])


def _checked(kind: type, allowed: Callable[[float], bool], wanted: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not allowed(value):
            raise ArgumentTypeError(f"must be {wanted}, not {text}")
        return value

    return parse


_count = _checked(int, lambda n: n >= 1, "a whole number from 1")
_seed = _checked(int, lambda n: 0 <= n < 2**32, "a whole number from 0 to 4294967295")
_rate = _checked(float, lambda x: 0 < x <= 1, "a number above 0, at most 1")
_strength = _checked(float, lambda x: 0 <= x <= 1, "a number from 0 to 1")


def _writable(folder: Path) -> None:
    """Find out now, and not after a quarter of an hour, that nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandError(f"Nothing can be written into {folder}: {error.strerror or error}.") from error
