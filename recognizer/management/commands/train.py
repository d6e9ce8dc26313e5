"""`manage.py train`: train a model from the command line and write it to a folder, with its metrics and charts.

The shipped base model was trained with `python manage.py train --recipe base --output ml/base`. If only the calibration
(`ml.evaluation.calibration`) has changed, `--calibrate-only` fits temperature and thresholds of the model in the folder
again.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
import sys
import time
from argparse import ArgumentTypeError
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ml.training.loop import RECIPES, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml.data.mnist import Mnist


class Command(BaseCommand):
    """Train a model and write it to a folder."""

    help = "Train the digit model and write it to a folder, with its metrics and charts."
    # Training needs only MNIST and a folder; it must work without a database.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument(
            "--recipe", choices=sorted(RECIPES), default="base",
            help="seed: the plain recipe of the specification, 10 epochs. base (default): with distortions, synthetic "
            "digits, non-digits and a learning-rate schedule; more epochs.",
        )  # fmt: skip
        parser.add_argument("--output", type=Path, default=Path("training"), help="folder to write (%(default)s)")
        parser.add_argument(
            "--calibrate-only", action="store_true",
            help="only fit temperature and thresholds of the model in the output folder again",
        )  # fmt: skip
        for field, kind in (
            ("epochs", _parse_count),
            ("batch_size", _parse_count),
            ("seed", _parse_seed),
            ("learning_rate", _parse_rate),
            ("l2", _parse_strength),
        ):
            parser.add_argument(f"--{field.replace('_', '-')}", type=kind, help="default: the recipe's")
        parser.add_argument("--mnist", type=Path, help="mnist.npz or a folder of IDX files; default: MNIST_PATH")

    def handle(self, *args: object, **options: Any) -> None:
        """Train or calibrate the model and print its metrics."""
        # TensorFlow's C++ library logs harmless messages as errors. Python exceptions are not affected.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from ml.data.mnist import MnistError, load_mnist
        from ml.training.export_pipeline import ExportMismatchError

        _require_writable(options["output"])
        try:
            mnist = load_mnist(path=options["mnist"])
            metrics = self._calibrate(mnist, options) if options["calibrate_only"] else self._train(mnist, options)
        except (MnistError, ExportMismatchError) as error:
            raise CommandError(str(error)) from error
        for key in ("validation_accuracy", "distorted_accuracy", "non_digits_refused", "ece"):
            self.stdout.write(f"{key.replace('_', ' ').capitalize()}: {metrics[key]:.4f}")
        self.stdout.write(self.style.SUCCESS(f"Test accuracy: {metrics['test_accuracy']:.4f}"))

    def _calibrate(self, mnist: Mnist, options: dict[str, Any]) -> dict[str, Any]:
        from ml.training.eval_sets import export_datasets
        from ml.training.export_pipeline import evaluate_model, export_recalibrated, read_folder, write_folder

        exported, metrics, history = read_folder(options["output"])
        sets = export_datasets(mnist)
        exported = export_recalibrated(exported, sets)
        metrics |= evaluate_model(exported, sets) | {"calibrated_by": _command()}
        write_folder(options["output"], exported, metrics, history)
        return metrics

    def _train(self, mnist: Mnist, options: dict[str, Any]) -> dict[str, Any]:
        from tqdm import tqdm

        from ml.training.datasets import build_sources
        from ml.training.eval_sets import export_datasets
        from ml.training.export_pipeline import describe_training, evaluate_model, export_model, write_folder
        from ml.training.loop import fit

        names = [field.name for field in dataclasses.fields(RECIPES["seed"])]
        params = {name: options[name] for name in names if options.get(name) is not None}
        recipe = dataclasses.replace(RECIPES[options["recipe"]], **params)
        started = time.monotonic()
        sources, sets = build_sources(recipe, mnist), export_datasets(mnist)
        rows = sum(source.size for source in sources)
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
                model, history = fit(recipe, sources, sets["validation"], on_progress=show)
            except KeyboardInterrupt as interrupt:
                raise CommandError("Stopped; nothing was written.") from interrupt

        exported = export_model(model, recipe.name, sets)
        description = describe_training(recipe, _command(), time.monotonic() - started, rows)
        metrics = evaluate_model(exported, sets) | description
        write_folder(options["output"], exported, metrics, history)
        return metrics


def _command() -> str:
    return shlex.join(["python", "manage.py", *sys.argv[1:]])


def _number_parser(
    kind: type[int] | type[float], is_allowed: Callable[[float], bool], expected: str
) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value: float = kind(text)
        except ValueError:
            value = math.nan
        if not is_allowed(value):
            raise ArgumentTypeError(f"must be {expected}, not {text}")
        return value

    return parse


_parse_count = _number_parser(int, lambda n: n >= 1, "a whole number from 1")
_parse_seed = _number_parser(int, lambda n: 0 <= n < 2**32, "a whole number from 0 to 4294967295")
_parse_rate = _number_parser(float, lambda x: 0 < x <= 1, "a number above 0, at most 1")
_parse_strength = _number_parser(float, lambda x: 0 <= x <= 1, "a number from 0 to 1")


def _require_writable(folder: Path) -> None:
    """Check before the training, which takes 15 minutes, that the folder is writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandError(f"Nothing can be written into {folder}: {error.strerror or error}.") from error
