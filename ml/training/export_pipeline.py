"""What comes out of a training: the sealed model (Keras file and serving bundle), its figures, and the folder of them.

`manage.py train` writes the folder; the retraining service takes `export_model` and `evaluate_model` and keeps the
bytes in the database. Everything is measured through the bundle itself, that is, through what visitors will be served
with.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ml.evaluation.calibration import choose_thresholds, fit_temperature
from ml.evaluation.metrics import evaluate
from ml.preprocessing import PREPROCESSING_VERSION
from ml.serving import bundle as bundles
from ml.serving.bundle import Manifest
from ml.serving.classifier import decide, load_classifier, softmax
from ml.serving.verdicts import Verdict
from ml.training.loop import Recipe

if TYPE_CHECKING:
    import keras

# How far probabilities of the served model and of Keras may lie apart.
AGREEMENT = 1e-5


class ExportMismatchError(RuntimeError):
    """The served model does not agree with the trained one, so it must not be served."""


@dataclass(frozen=True)
class EvaluationSets:
    """What a model is measured on. Images (N, 28, 28) uint8, labels (N,).

    Attributes:
        validation: clean validation digits.
        distorted: distorted and redrawn validation digits.
        non_digits: pictures of no digit; images only.
        test: the MNIST test set, reported only.
    """

    validation: tuple[np.ndarray, np.ndarray]
    distorted: tuple[np.ndarray, np.ndarray]
    non_digits: np.ndarray
    test: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ExportedModel:
    """A trained model, ready to be kept: both files' bytes and the manifest inside the bundle.

    `agreement` is the largest difference between the probabilities of the two, on 1,000 pictures.
    """

    keras_file: bytes
    bundle: bytes
    manifest: Manifest
    agreement: float = 0.0


def export_model(model: keras.Model, recipe_name: str, checks: EvaluationSets) -> ExportedModel:
    """Export a trained model, fit temperature and thresholds on validation images, and check the export.

    Raises:
        SealError: the exported model's probabilities differ from Keras' by more than 1e-5, or are not finite.
    """
    from ml.serving.export import save_keras, to_litert, weights_sha256

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, bundles.KERAS_FILE)
        save_keras(model, path)
        keras_file = path.read_bytes()
    litert = to_litert(model)
    plain = Manifest(
        format=bundles.FORMAT,
        recipe=recipe_name,
        preprocessing_version=PREPROCESSING_VERSION,
        weights_sha256=weights_sha256(model),
        model_sha256=hashlib.sha256(litert).hexdigest(),
        temperature=1.0, sure_margin=1.0, sure_energy=0.0, refuse_energy=0.0,
    )  # fmt: skip
    served = load_classifier(bundles.write(litert, plain))
    agreement = _check_agreement(served.logits(checks.validation[0][:1000]), model, checks.validation[0][:1000])
    return _calibrated(keras_file, litert, plain, checks, agreement)


def export_recalibrated(sealed: ExportedModel, checks: EvaluationSets) -> ExportedModel:
    """Fit temperature and thresholds anew; the model itself stays as it is, byte for byte."""
    return _calibrated(sealed.keras_file, bundles.read(sealed.bundle).model, sealed.manifest, checks, sealed.agreement)


def _calibrated(
    keras_file: bytes, litert: bytes, plain: Manifest, checks: EvaluationSets, agreement: float
) -> ExportedModel:
    served = load_classifier(bundles.write(litert, plain))
    logits = served.logits(np.concatenate([checks.validation[0], checks.distorted[0]]))
    labels = np.concatenate([checks.validation[1], checks.distorted[1]])
    clean = len(checks.validation[0])  # distorted digits are harder than real ones and would ask for too much modesty
    temperature = fit_temperature(logits[:clean], labels[:clean])
    thresholds = choose_thresholds(logits, labels, temperature)
    manifest = Manifest(**asdict(plain) | asdict(thresholds) | {"temperature": temperature})
    return ExportedModel(keras_file, bundles.write(litert, manifest), manifest, agreement)


def _check_agreement(logits: np.ndarray, model: keras.Model, pixels: np.ndarray) -> float:
    from ml.serving.classifier import to_input

    expected = model(to_input(pixels), training=False).numpy()
    gap = float(np.abs(softmax(logits) - expected).max())
    if not gap <= AGREEMENT:  # written so that NaN is refused too
        raise ExportMismatchError(
            f"The exported model's probabilities differ from the Keras model's by {gap:.2g}; not served."
        )
    return gap


def evaluate_model(sealed: ExportedModel, checks: EvaluationSets) -> dict[str, object]:
    """Measure a sealed model on all checks, through its bundle.

    Returns:
        JSON-able figures: `test_accuracy`, `validation_accuracy`, `distorted_accuracy`, `non_digits_refused`,
        `digits_refused` and so on at the top, and under `sets` everything `ml.evaluation.metrics.evaluate` gives.
    """
    served = load_classifier(sealed.bundle)
    manifest = sealed.manifest
    sets = {
        "test": checks.test,
        "validation": checks.validation,
        "distorted": checks.distorted,
    }
    logits = {name: served.logits(images) for name, (images, _) in sets.items()}
    results = {name: evaluate(logits[name], labels, manifest.temperature) for name, (_, labels) in sets.items()}
    verdicts = {name: _verdicts(logits[name], manifest, labels) for name, (_, labels) in sets.items()}
    outside = _verdicts(served.logits(checks.non_digits), manifest)
    return {
        "test_accuracy": results["test"]["accuracy"],
        "validation_accuracy": results["validation"]["accuracy"],
        "distorted_accuracy": results["distorted"]["accuracy"],
        "ece": results["test"]["ece"],
        "sure_share": verdicts["test"]["shares"]["sure"],
        "sure_accuracy": verdicts["test"]["sure_accuracy"],
        "digits_refused": verdicts["test"]["shares"]["not_a_digit"],
        "non_digits_refused": outside["shares"]["not_a_digit"],
        "non_digits_not_sure": 1 - outside["shares"]["sure"],
        "manifest": asdict(manifest),
        "keras_sha256": hashlib.sha256(sealed.keras_file).hexdigest(),
        "bundle_sha256": hashlib.sha256(sealed.bundle).hexdigest(),
        "sets": {name: results[name] | verdicts[name] for name in sets} | {"non_digits": outside},
    }


def _verdicts(logits: np.ndarray, manifest: Manifest, labels: np.ndarray | None = None) -> dict[str, object]:
    answers = decide(logits, manifest)
    shares = {str(v): sum(a.verdict == v for a in answers) / max(len(answers), 1) for v in Verdict}
    result: dict[str, object] = {"shares": shares}
    if labels is not None:
        sure = [a.digit == label for a, label in zip(answers, labels, strict=True) if a.verdict == Verdict.SURE]
        result["sure_accuracy"] = sum(sure) / len(sure) if sure else None
    return result


def describe(recipe: Recipe, command: str, seconds: float, rows: int) -> dict[str, object]:
    """How the model was made: for `metrics.json`."""
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


def read_folder(folder: Path) -> tuple[ExportedModel, dict[str, object], dict[str, list[float]]]:
    """What `write_folder` has written: the sealed model, its figures and its history.

    Raises:
        SealError: a file is missing or damaged, or they do not belong together.
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
    folder: Path, sealed: ExportedModel, metrics: Mapping[str, object], history: Mapping[str, Sequence[float]]
) -> None:
    """Write everything a training leaves behind; each file is complete or not there."""
    from ml.evaluation.plots import save_confusion, save_curves, save_reliability

    folder.mkdir(parents=True, exist_ok=True)
    sets = metrics["sets"]
    writers = {
        bundles.KERAS_FILE: lambda path: path.write_bytes(sealed.keras_file),
        bundles.BUNDLE_FILE: lambda path: path.write_bytes(sealed.bundle),
        "history.json": lambda path: path.write_text(json.dumps(history, indent=1) + "\n"),
        "metrics.json": lambda path: path.write_text(json.dumps(metrics, indent=1) + "\n"),
        "curves.png": lambda path: save_curves(history, path),
        "confusion_matrix.png": lambda path: save_confusion(sets["test"]["confusion"], path),
        "reliability.png": lambda path: save_reliability(
            {"MNIST test": sets["test"]["reliability"], "distorted validation": sets["distorted"]["reliability"]}, path
        ),
    }
    for name, write in writers.items():
        aside = folder / f".writing-{name}"
        write(aside)
        aside.replace(folder / name)
