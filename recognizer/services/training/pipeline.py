"""Training pipeline: select labels, train, export, evaluate, store and promote a version.

It runs in the training process. The complete recipe is stored with the version, so that the same labels give the same
model again.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from django.db import DatabaseError
from django.utils import timezone

from ml.data.mnist import Mnist, MnistError, load_mnist
from ml.evaluation.model_metrics import add_gate
from ml.serving.export import load_keras
from ml.training import eval_sets, site_recipe
from ml.training.export_pipeline import ExportedModel, ExportMismatchError, evaluate_model, export_model
from ml.training.loop import Progress, TrainingCancelledError, fit, make_deterministic
from recognizer.models import Deployment, GateVerdict, ModelVersion, Origin, RunState, Submission, TrainingRun
from recognizer.services.registry import versions

from . import dataset, evaluation, presenters, run_state
from .run_state import Recorder
from .scheduling import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml.evaluation.datasets import EvalDataset
    from ml.evaluation.gate_checks import GateCheck
    from ml.serving.classifier import Classifier

log = logging.getLogger(__name__)

# Number of images that a bundle must classify before it goes live, and the required accuracy.
SMOKE_TEST_SAMPLES, SMOKE_TEST_MIN_ACCURACY = 200, 0.9
# Errors that are not caused by the labels: a full disk, a restart of the database, too little memory.
MACHINE_ERRORS = (OSError, MemoryError, DatabaseError)
FINISHED = (RunState.PROMOTED, RunState.REFUSED, RunState.UNCHANGED)


class RunFailedError(RuntimeError):
    """The run cannot continue. The message says why and what to do."""


def run_pipeline(run_id: int, token: str) -> None:
    """Carry out a training run and end it.

    Args:
        run_id: primary key of the run.
        token: token of the run, from `run_state.claim`.

    Raises:
        LostRunError: the token does not hold the run (any more); nothing was written since.
    """
    recorder = Recorder(run_id, token)
    with recorder.heartbeats():
        try:
            _run(recorder)
        except (TrainingCancelledError, run_state.CancelledRunError):
            run_state.end(run_id, token, RunState.CANCELLED, "An operator cancelled it.")
        except MnistError as error:
            run_state.end(run_id, token, RunState.FAILED, str(error), is_interruption=True)
        except (RunFailedError, ExportMismatchError, versions.RegistryError) as error:
            run_state.end(run_id, token, RunState.FAILED, str(error))
        except run_state.LostRunError:
            raise
        except Exception as error:
            log.exception("training run %s failed", run_id)
            reason = f"{type(error).__name__}: {error}"
            run_state.end(run_id, token, RunState.FAILED, reason, is_interruption=isinstance(error, MACHINE_ERRORS))


def _run(recorder: Recorder) -> None:
    run = TrainingRun.objects.get(pk=recorder.run_id)
    name = str(run.recipe.get("name"))
    deployment = versions.live_deployment()
    champion = versions.classifier_of(deployment.to_version)
    if name == SHIPPED:
        _evaluate_shipped(recorder, deployment)
        return
    recipe = replace(site_recipe.RECIPES[name], seed=int(run.recipe.get("seed", 1)))

    recorder.start_step("loading", f"Selecting labels. The live model is {deployment.to_version}.")
    recorder.update(labels=Submission.objects.trainable().count())
    training_data = dataset.build_dataset(champion, recipe)
    recorder.log(presenters.describe_counts(training_data.counts))
    if (reason := _reason_to_skip(run, recipe, training_data)) is not None:
        run_state.end(recorder.run_id, recorder.token, RunState.UNCHANGED, reason)
        return
    recorder.update(data_fingerprint=training_data.fingerprint, recipe=recipe.to_json())
    recorder.log("Loading MNIST.")
    recorder.set_stage("MNIST", 0.1)
    mnist = load_mnist()
    _train_and_evaluate(recorder, deployment, recipe, training_data, mnist)


def _reason_to_skip(
    run: TrainingRun, recipe: site_recipe.SiteRecipe, training_data: dataset.TrainingDataset
) -> str | None:
    if (
        recipe.interpolation is not None
        and not len(training_data.data.labels)
        and not len(training_data.data.non_digits)
    ):
        return "There is no settled label to learn from yet. Review some submissions first."
    earlier_runs = TrainingRun.objects.filter(state__in=FINISHED, pk__lt=run.pk).exclude(data_fingerprint="")
    last = earlier_runs.order_by("-id").first()
    if last is not None and last.data_fingerprint == training_data.fingerprint:
        return f"Nothing changed since training run {last.pk}: the same labels, the same recipe."
    return None


def _train_and_evaluate(
    recorder: Recorder,
    deployment: Deployment,
    recipe: site_recipe.SiteRecipe,
    training_data: dataset.TrainingDataset,
    mnist: Mnist,
) -> None:
    champion = deployment.to_version
    sources = site_recipe.build_site_sources(recipe, mnist, training_data.data, _report_stages(recorder, 0.15, 0.6))
    export_sets = eval_sets.export_datasets(mnist, _report_stages(recorder, 0.6, 0.8))
    recorder.set_stage("TensorFlow", 0.8)
    make_deterministic(recipe.seed)
    model, before = None, None
    if recipe.interpolation is not None:
        recorder.log(f"Going on from {champion}.")
        model = load_keras(bytes(champion.files.keras_file), sha256=champion.keras_sha256)
        before = model.get_weights()

    rows = sum(source.size for source in sources)
    recorder.start_step("training", f"Training: {recipe.epochs} epochs of {rows} images.")
    started = time.monotonic()
    model, history = fit(
        recipe, sources, export_sets["validation"], model=model,
        on_progress=lambda progress: _show_progress(recorder, progress, started),
        on_epoch=recorder.set_history,
        should_stop=lambda: recorder.should_stop,
    )  # fmt: skip
    seconds = time.monotonic() - started
    if before is not None and recipe.interpolation is not None:
        model.set_weights(site_recipe.interpolate_weights(before, model.get_weights(), recipe.interpolation))

    recorder.start_step("exporting", f"Trained in {seconds:.0f} s. Exporting and calibrating.")
    exported = export_model(model, recipe.name, export_sets)
    recorder.start_step("evaluating", "Evaluating, and comparing with the live model.")
    metrics = evaluate_model(exported, export_sets) | {"seconds": round(seconds, 1)}
    recorder.log(f"Test accuracy {metrics['test_accuracy']:.2%}; it is reported and decides nothing.")
    version = ModelVersion(
        parent=champion if before is not None else None,
        origin=Origin.TRAINING,
        recipe=recipe.to_json(),
        data_fingerprint=training_data.fingerprint,
        counts=training_data.counts | {"images_per_epoch": rows},
        history=history,
        metrics=metrics,
    )
    _run_gate(recorder, deployment, version, exported, export_sets=export_sets, suspicions=training_data.suspicions)


def _evaluate_shipped(recorder: Recorder, deployment: Deployment) -> None:
    """Evaluate the base model of an upgrade as a candidate that needs no training."""
    shipped = versions.find_new_base()
    if shipped is None:
        raise RunFailedError("The shipped base model is known already; there is nothing to evaluate.")
    recorder.start_step("loading", "An upgrade brought a new base model. Loading MNIST.")
    export_sets = eval_sets.export_datasets(load_mnist(), _report_stages(recorder, 0.2, 1.0))
    recorder.start_step("evaluating", "Comparing the new base model with the live one.")
    _run_gate(recorder, deployment, *shipped, export_sets=export_sets)


def _run_gate(
    recorder: Recorder,
    deployment: Deployment,
    version: ModelVersion,
    exported: ExportedModel,
    *,
    export_sets: Mapping[str, EvalDataset],
    suspicions: Sequence[GateCheck] = (),
) -> None:
    """Compare a candidate with the live version, and finish the run with the decision.

    Args:
        recorder: recorder of the run.
        deployment: the live deployment.
        version: the unsaved version.
        exported: its files.
        export_sets: see `ml.training.eval_sets.export_datasets`.
        suspicions: failed checks of the training labels.
    """
    frozen = eval_sets.gate_datasets(export_sets, _report_stages(recorder, 0.3, 0.7))
    recorder.set_stage("the live version", 0.7)
    evaluation.evaluate_older_versions(frozen)
    recorder.set_stage("the new version", 0.8)
    candidate = versions.classifier_from(exported.bundle, exported.keras_file)
    decision = evaluation.compare(
        candidate, versions.classifier_of(deployment.to_version), frozen, dataset.holdout_datasets(),
        max_difference=exported.max_difference, labels=suspicions,
    )  # fmt: skip
    version.metrics = add_gate(version.metrics, decision.metrics)
    _finish(recorder, deployment, version, exported, decision=decision, smoke_test_data=export_sets["validation"])


def _finish(
    recorder: Recorder,
    deployment: Deployment,
    version: ModelVersion,
    exported: ExportedModel,
    *,
    decision: evaluation.GateDecision,
    smoke_test_data: EvalDataset,
) -> None:
    """Store the version and deploy it if it passed the gate, in one transaction that checks the token first.

    Args:
        recorder: recorder of the run.
        deployment: the deployment that the candidate was compared with.
        version: the unsaved version.
        exported: its files.
        decision: decision of the gate.
        smoke_test_data: the smoke test uses its first images.
    """
    passed = decision.result.passed
    recorder.start_step(
        "promoting", f"The candidate {'passed' if passed else 'did not pass'} the gate.", *decision.metrics.summary
    )
    version.gate = decision.checks
    version.gate_verdict = GateVerdict.PASSED if passed else GateVerdict.REFUSED
    reasons = list(decision.result.reasons)
    state = RunState.PROMOTED if passed else RunState.REFUSED
    if passed:
        _smoke_test(versions.classifier_from(exported.bundle, exported.keras_file), smoke_test_data)
    with recorder.commit_result() as run:
        versions.create_version(version, keras_file=exported.keras_file, bundle=exported.bundle)
        if passed:
            try:
                versions.deploy(
                    version=version, kind=Deployment.Kind.PROMOTE, replaces=deployment,
                    why=f"Training run {run.pk} passed the gate. {decision.metrics.summary[0]}",
                )  # fmt: skip
            except versions.DeploymentConflictError:
                state = RunState.REFUSED
                outdated = f"It passed the gate against {deployment.to_version}, which is not live any more."
                reasons = [f"{outdated} Promote it by hand, or train again."]
        run.version, run.state, run.reasons = version, state, reasons
        run.finished = run.heartbeat = timezone.now()
        run.progress |= {"share": 1.0}
        run.save(update_fields=["version", "state", "reasons", "finished", "heartbeat", "progress"])
    log.info("training run %s: %s is %s", run.pk, version, state)


def _smoke_test(candidate: Classifier, smoke_test_data: EvalDataset) -> None:
    """Check that the version can be loaded like in a worker and classifies digits.

    It does not run in the transaction, because on SQLite that would block other writers.

    Raises:
        RunFailedError: the accuracy is too low.
    """
    sample = smoke_test_data.first(SMOKE_TEST_SAMPLES)
    digits = [answer.digit for answer in candidate.answer(sample.images)]
    accuracy = np.mean(np.array(digits) == sample.labels)
    if accuracy < SMOKE_TEST_MIN_ACCURACY:
        raise RunFailedError(
            f"The stored model reads only {accuracy:.0%} of {len(sample.labels)} digits as a worker loads it."
        )


def _report_stages(recorder: Recorder, low: float, high: float) -> Callable[[str, float], None]:
    """Return a progress callback that covers the shares `low` to `high` of the current step."""
    return lambda name, done: recorder.set_stage(name, low + (high - low) * done)


def _show_progress(recorder: Recorder, progress: Progress, started: float) -> None:
    epoch, epochs, batch, batches = progress.epoch, progress.epochs, progress.batch, progress.batches
    done = ((epoch - 1) * batches + batch) / (epochs * batches)
    seconds_left = (time.monotonic() - started) * (1 - done) / done
    recorder.set_progress(
        done, epoch=epoch, epochs=epochs, batch=batch, batches=batches,
        loss=round(progress.loss, 4), accuracy=round(progress.accuracy, 4), seconds_left=round(seconds_left),
    )  # fmt: skip
