"""Training of a site's candidate: load the data, train, interpolate with the champion, export and evaluate.

`recognizer.services.training.pipeline` selects the site's images and stores the result.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ml.data.mnist import load_mnist
from ml.serving.export import load_keras
from ml.training import eval_sets
from ml.training.export_pipeline import ExportedModel, evaluate_model, export_model
from ml.training.loop import Progress, fit, make_deterministic
from ml.training.site_recipe import SiteData, SiteRecipe, build_site_sources, interpolate_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import keras

    from ml.data.disk_cache import ProgressCallback
    from ml.evaluation.datasets import EvalDataset
    from ml.training.loop import DataSource


class KerasFile(NamedTuple):
    """The bytes of a Keras file, and its expected SHA-256 if it is known."""

    data: bytes
    sha256: str | None = None


class Report(Protocol):
    """Receives the progress of a run. It may raise an exception to stop the training."""

    def __call__(self, step: str, done: float, *lines: str, **details: object) -> None:
        """Report the progress.

        Args:
            step: name of the step: loading, training, exporting or evaluating.
            done: completed share of the step, 0..1.
            *lines: lines for the log.
            **details: for example `doing`, the part of the step that begins.
        """


@dataclass(frozen=True)
class Candidate:
    """An exported model that the gate has not seen yet.

    Attributes:
        exported: the model.
        metrics: its metrics document (`ml.evaluation.model_metrics`).
        history: metrics of each epoch of its training.
        sets: the evaluation sets of its export, by name.
        frozen: the frozen sets of the gate.
        images_per_epoch: number of training images in each epoch; 0 if it was not trained here.
    """

    exported: ExportedModel
    metrics: dict[str, Any]
    history: dict[str, list[float]]
    sets: Mapping[str, EvalDataset] = field(repr=False)
    frozen: Sequence[EvalDataset] = field(repr=False)
    images_per_epoch: int = 0

    @cached_property
    def frozen_id(self) -> str:
        """Hash of the frozen sets. Metrics of two versions are comparable if theirs are equal."""
        return eval_sets.fingerprint(self.frozen)


def train_candidate(recipe: SiteRecipe, site: SiteData, champion: KerasFile, report: Report) -> Candidate:
    """Train, export and evaluate a candidate.

    Args:
        recipe: the hyper-parameters.
        site: the site's labelled images.
        champion: the file of the live version.
        report: receives the progress.

    Raises:
        ml.data.mnist.MnistError: MNIST cannot be loaded.
        ml.training.export_pipeline.ExportMismatchError: the exported model differs from the trained one.
    """
    report("loading", 0.1, "Loading MNIST.", doing="MNIST")
    mnist = load_mnist()
    sources = build_site_sources(recipe, mnist, site, _stages(report, "loading", 0.15, 0.6))
    sets = eval_sets.export_datasets(mnist, _stages(report, "loading", 0.6, 0.8))
    report("loading", 0.8, doing="TensorFlow")

    rows = sum(source.size for source in sources)
    report("training", 0.0, f"Training: {recipe.epochs} epochs of {rows} images.")
    started = time.monotonic()

    def show(progress: Progress) -> None:
        epoch, epochs, batch, batches = progress.epoch, progress.epochs, progress.batch, progress.batches
        done = ((epoch - 1) * batches + batch) / (epochs * batches)
        report(
            "training", done, epoch=epoch, epochs=epochs, batch=batch, batches=batches,
            loss=round(progress.loss, 4), accuracy=round(progress.accuracy, 4),
            seconds_left=round((time.monotonic() - started) * (1 - done) / done),
        )  # fmt: skip

    def show_history(history: dict[str, list[float]]) -> None:
        report("training", len(history["loss"]) / recipe.epochs, history=history)

    model, history = train(recipe, sources, sets["validation"], champion, on_progress=show, on_epoch=show_history)
    seconds = time.monotonic() - started

    report("exporting", 0.0, f"Trained in {seconds:.0f} s. Exporting and calibrating.")
    exported = export_model(model, recipe.name, sets)
    report("evaluating", 0.0, "Evaluating, and comparing with the live model.")
    metrics = evaluate_model(exported, sets) | {"seconds": round(seconds, 1)}
    report("evaluating", 0.3, f"Test accuracy {metrics['test_accuracy']:.2%}; it is reported and decides nothing.")
    frozen = eval_sets.gate_datasets(sets, _stages(report, "evaluating", 0.3, 0.7))
    return Candidate(exported, metrics, history, sets, frozen, rows)


def train(
    recipe: SiteRecipe,
    sources: Sequence[DataSource],
    validation: EvalDataset,
    champion: KerasFile,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_epoch: Callable[[dict[str, list[float]]], None] | None = None,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Train a model; from the weights of the champion, and interpolated with them, if the recipe says so.

    Args:
        recipe: the hyper-parameters.
        sources: the training data.
        validation: evaluated after every epoch.
        champion: the model to continue from.
        on_progress: see `ml.training.loop.fit`.
        on_epoch: see `ml.training.loop.fit`.

    Returns:
        The model and its history, see `ml.training.loop.fit`.

    Raises:
        ml.serving.bundle.BundleError: the champion's file is damaged.
    """
    make_deterministic(recipe.seed)
    if recipe.interpolation is None:
        return fit(recipe, sources, validation, on_progress=on_progress, on_epoch=on_epoch)
    model = load_keras(champion.data, sha256=champion.sha256)
    before = model.get_weights()
    model, history = fit(recipe, sources, validation, model=model, on_progress=on_progress, on_epoch=on_epoch)
    model.set_weights(interpolate_weights(before, model.get_weights(), recipe.interpolation))
    return model, history


def prepare_shipped(
    exported: ExportedModel, metrics: dict[str, Any], history: dict[str, list[float]], report: Report
) -> Candidate:
    """Return the shipped base model as a candidate that needs no training.

    Args:
        exported: the model.
        metrics: its metrics document.
        history: metrics of each epoch of its training.
        report: receives the progress.

    Raises:
        ml.data.mnist.MnistError: MNIST cannot be loaded.
    """
    report("loading", 0.0, "An upgrade brought a new base model. Loading MNIST.")
    sets = eval_sets.export_datasets(load_mnist(), _stages(report, "loading", 0.2, 1.0))
    report("evaluating", 0.0, "Comparing the new base model with the live one.")
    frozen = eval_sets.gate_datasets(sets, _stages(report, "evaluating", 0.3, 0.7))
    return Candidate(exported, metrics, history, sets, frozen)


def _stages(report: Report, step: str, low: float, high: float) -> ProgressCallback:
    """Return a progress callback that covers the shares `low` to `high` of a step."""
    return lambda name, done: report(step, low + (high - low) * done, doing=name)
