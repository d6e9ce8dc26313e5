"""Export, calibration and evaluation of a trained model, and the folder with the results.

`manage.py train` writes the folder; `recognizer.services.training` stores the bytes in the database. Metrics are
measured with the serving bundle, which is also what serves visitors.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.evaluation.calibration import choose_thresholds, fit_temperature
from ml.evaluation.charts import to_file, training_charts
from ml.evaluation.metrics import evaluate
from ml.evaluation.model_metrics import SCHEMA, read_metrics
from ml.preprocessing import PREPROCESSING_VERSION
from ml.serving import bundle as bundles
from ml.serving.bundle import Manifest
from ml.serving.choice import HANDICAPS
from ml.serving.classifier import decide, load_classifier, softmax
from ml.serving.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import keras

    from ml.evaluation.datasets import EvalDataset
    from ml.evaluation.model_metrics import SetMetrics
    from ml.training.loop import Recipe

# Largest allowed difference between the probabilities of the exported model and of the Keras model.
MAX_DIFFERENCE = 1e-5


class ExportMismatchError(RuntimeError):
    """The exported model differs from the trained model, or the files of an export do not match."""


@dataclass(frozen=True)
class ExportedModel:
    """A trained model, ready to be stored.

    Attributes:
        keras_file: bytes of the Keras file.
        bundle: bytes of the serving bundle.
        manifest: the manifest inside the bundle.
        max_difference: largest difference between the probabilities of both models, on 1,000 images; None if the model
            was read from a folder.
    """

    keras_file: bytes
    bundle: bytes
    manifest: Manifest
    max_difference: float | None = None


def export_model(model: keras.Model, recipe_name: str, sets: Mapping[str, EvalDataset]) -> ExportedModel:
    """Export a trained model, calibrate it on validation images, and compare it with the Keras model.

    Args:
        model: the trained model.
        recipe_name: stored in the manifest.
        sets: see `ml.training.eval_sets.export_datasets`; temperature and thresholds are fitted on its "validation" and
            "distorted".

    Raises:
        ExportMismatchError: the exported model's probabilities differ from the Keras model's by more than 1e-5, or are
            not finite.
    """
    from ml.serving.export import save_keras, to_litert, weights_sha256

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, bundles.KERAS_FILE)
        save_keras(model, path)
        keras_file = path.read_bytes()
    litert = to_litert(model)
    manifest = Manifest(
        format=bundles.FORMAT,
        recipe=recipe_name,
        preprocessing_version=PREPROCESSING_VERSION,
        weights_sha256=weights_sha256(model),
        model_sha256=hashlib.sha256(litert).hexdigest(),
        temperature=1.0, sure_margin=1.0, sure_energy=0.0, refuse_energy=0.0,
    )  # fmt: skip
    served = load_classifier(bundles.write(litert, manifest))
    pixels = sets["validation"].images[:1000]
    difference = _check_agreement(served.logits(pixels), model, pixels)
    return _calibrate(keras_file, litert, manifest, sets, difference)


def export_recalibrated(exported: ExportedModel, sets: Mapping[str, EvalDataset]) -> ExportedModel:
    """Fit temperature and thresholds again. The model itself is not changed."""
    model = bundles.read(exported.bundle).model
    return _calibrate(exported.keras_file, model, exported.manifest, sets, exported.max_difference)


def _calibrate(
    keras_file: bytes,
    litert: bytes,
    uncalibrated: Manifest,
    sets: Mapping[str, EvalDataset],
    max_difference: float | None,
) -> ExportedModel:
    served = load_classifier(bundles.write(litert, uncalibrated))
    clean, distorted = sets["validation"], sets["distorted"]
    logits = served.logits(np.concatenate([clean.images, distorted.images]))
    labels = np.concatenate([clean.labels, distorted.labels])
    # The temperature is fitted on clean digits only: distorted digits are harder than real ones and would make the
    # model underconfident.
    temperature = fit_temperature(logits[: len(clean.labels)], clean.labels)
    thresholds = choose_thresholds(logits, labels, temperature)
    manifest = replace(
        uncalibrated,
        format=bundles.FORMAT,
        temperature=temperature,
        readings=dict(HANDICAPS),
        **asdict(thresholds),
    )
    return ExportedModel(keras_file, bundles.write(litert, manifest), manifest, max_difference)


def _check_agreement(logits: np.ndarray, model: keras.Model, pixels: np.ndarray) -> float:
    from ml.serving.classifier import to_input

    expected = model(to_input(pixels), training=False).numpy()
    difference = float(np.abs(softmax(logits) - expected).max())
    if not difference <= MAX_DIFFERENCE:  # This form also rejects NaN.
        raise ExportMismatchError(
            f"The exported model's probabilities differ from the Keras model's by {difference:.2g}; not served."
        )
    return difference


def evaluate_model(exported: ExportedModel, sets: Mapping[str, EvalDataset]) -> dict[str, Any]:
    """Evaluate an exported model on all sets, with its serving bundle.

    Args:
        exported: the model.
        sets: see `ml.training.eval_sets.export_datasets`.

    Returns:
        JSON-serializable metrics: `test_accuracy`, `validation_accuracy`, `distorted_accuracy`, `non_digits_refused`,
        `digits_refused` and so on at the top level, and under `sets` the result of
        `ml.evaluation.metrics.evaluate` for each set.
    """
    served = load_classifier(exported.bundle)
    results = {
        name: _evaluate(dataset, served.logits(dataset.images), exported.manifest) for name, dataset in sets.items()
    }
    test, non_digits = results["test"], results["non_digits"]
    return {
        "schema": SCHEMA,
        "test_accuracy": test["accuracy"],
        "validation_accuracy": results["validation"]["accuracy"],
        "distorted_accuracy": results["distorted"]["accuracy"],
        "ece": test["ece"],
        "sure_share": test["shares"]["sure"],
        "sure_accuracy": test["sure_accuracy"],
        "digits_refused": test["refused"],
        "non_digits_refused": non_digits["refused"],
        "non_digits_not_sure": 1 - non_digits["shares"]["sure"],
        "manifest": asdict(exported.manifest),
        "keras_sha256": hashlib.sha256(exported.keras_file).hexdigest(),
        "bundle_sha256": hashlib.sha256(exported.bundle).hexdigest(),
        "sets": results,
    }


def _evaluate(dataset: EvalDataset, logits: np.ndarray, manifest: Manifest) -> SetMetrics:
    answers = decide(logits, manifest)
    shares = {
        str(verdict): sum(answer.verdict == verdict for answer in answers) / max(len(answers), 1) for verdict in Verdict
    }
    refused = shares[Verdict.NOT_A_DIGIT]
    if not dataset.has_digits:
        return {"shares": shares, "refused": refused}
    sure = [
        answer.digit == label
        for answer, label in zip(answers, dataset.labels, strict=True)
        if answer.verdict == Verdict.SURE
    ]
    sure_accuracy = sum(sure) / len(sure) if sure else None
    return {
        **evaluate(logits, dataset.labels, manifest.temperature),
        "shares": shares,
        "refused": refused,
        "sure_accuracy": sure_accuracy,
    }


def describe_training(recipe: Recipe, command: str, seconds: float, rows: int) -> dict[str, Any]:
    """Describe a training for `metrics.json`.

    Args:
        recipe: the hyper-parameters.
        command: the command line.
        seconds: duration of the training.
        rows: number of images in each epoch.
    """
    import keras
    import tensorflow as tf

    return {
        "recipe": asdict(recipe),
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "command": command,
        "images_per_epoch": rows,
        "seconds": round(seconds, 1),
        "versions": {"keras": keras.__version__, "tensorflow": tf.__version__, "numpy": np.__version__},
    }


def read_folder(folder: Path) -> tuple[ExportedModel, dict[str, Any], dict[str, list[float]]]:
    """Read a folder that `write_folder` has written.

    Returns:
        The exported model, its metrics and its history.

    Raises:
        ExportMismatchError: a file is missing or damaged, or the files do not belong together.
    """
    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        history = json.loads((folder / "history.json").read_text())
        bundle = (folder / bundles.BUNDLE_FILE).read_bytes()
        keras_file = (folder / bundles.KERAS_FILE).read_bytes()
        manifest = bundles.read(bundle, sha256=metrics["bundle_sha256"]).manifest
    except (OSError, ValueError, KeyError) as error:
        raise ExportMismatchError(f"{folder} holds no complete training: {error}") from error
    if hashlib.sha256(keras_file).hexdigest() != metrics["keras_sha256"]:
        raise ExportMismatchError(
            f"{folder} holds no complete training: the Keras file is not the one that was recorded."
        )
    return ExportedModel(keras_file, bundle, manifest), metrics, history


def write_folder(
    folder: Path, exported: ExportedModel, metrics: Mapping[str, Any], history: Mapping[str, Sequence[float]]
) -> None:
    """Write all results of a training: models, metrics, history and charts. Each file is written atomically.

    Args:
        folder: created if it does not exist.
        exported: the model.
        metrics: see `evaluate_model`.
        history: see `ml.training.loop.fit`.
    """
    charts = training_charts(history, read_metrics(metrics).sets)
    files = {
        bundles.KERAS_FILE: exported.keras_file,
        bundles.BUNDLE_FILE: exported.bundle,
        "history.json": f"{json.dumps(history, indent=1)}\n".encode(),
        "metrics.json": f"{json.dumps(metrics, indent=1)}\n".encode(),
    } | {f"{name}.svg": to_file(svg).encode() for name, svg in charts.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        temporary = folder / f".writing-{name}"
        temporary.write_bytes(content)
        temporary.replace(folder / name)
