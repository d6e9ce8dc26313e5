"""What the training process does: select, train, seal, put before the gate, store, promote.

The recipe is recorded in full with the version, so that
the same labels give the same model again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from ml.data.mnist import Mnist, MnistError, load_mnist
from ml.serving.classifier import Classifier
from ml.training.loop import Progress, TrainingCancelledError
from recognizer.models import Deployment, GateVerdict, ModelVersion, Origin, RunState, TrainingRun
from recognizer.services.registry import versions

from . import dataset, evaluation, run_state
from .run_state import Recorder
from .scheduling import SHIPPED, trainable_submissions

if TYPE_CHECKING:
    from ml.training.site_recipe import SiteRecipe

log = logging.getLogger(__name__)

# Pictures that the bundle is asked before it may go live, and how many it must get right.
SMOKE_TEST_SAMPLES, SMOKE_TEST_MIN_CORRECT = 200, 0.9
# The least there is: measured, a lone answer then takes hardly longer than on an idle site, against half as long again
# at 10. Not SCHED_IDLE, which answers no faster and would never end a training on a machine that others keep busy.
NICE_LEVEL = 19
# What the machine, and not the labels, is to blame for: a full disk, a database that restarts, too little memory.
MACHINE_ERRORS = (OSError, MemoryError, DatabaseError)
FINISHED = (RunState.PROMOTED, RunState.REFUSED, RunState.UNCHANGED)


class RefusedRunError(RuntimeError):
    """The run cannot go on; the message says why and what to do."""


def run_pipeline(run_id: int, token: str) -> None:
    """Do everything that training run `run_id` is about, and end it one way or the other.

    Raises:
        LostRunError: the run was not ours (any more); nothing was written since.
    """
    recorder = Recorder(run_id, token)
    with recorder.beating():
        try:
            _run(recorder)
        except (TrainingCancelledError, run_state.CancelledRunError):
            run_state.end(run_id, token, RunState.CANCELLED, "An operator cancelled it.")
        except MnistError as error:
            run_state.end(run_id, token, RunState.FAILED, str(error), is_interruption=True)
        except (RefusedRunError, versions.RegistryError) as error:
            run_state.end(run_id, token, RunState.FAILED, str(error))
        except run_state.LostRunError:
            raise
        except Exception as error:
            log.exception("training run %s failed", run_id)
            reason = f"{type(error).__name__}: {error}"
            run_state.end(run_id, token, RunState.FAILED, reason, is_interruption=isinstance(error, MACHINE_ERRORS))


def _run(recorder: Recorder) -> None:
    asked = TrainingRun.objects.get(pk=recorder.run_id)
    name = str(asked.recipe.get("name"))
    deployment = versions.live_deployment()
    champion = versions.classifier_of(deployment.to_version)
    if name == SHIPPED:
        _judge_shipped(recorder, deployment)
        return
    recipe = _recipe(name, int(asked.recipe.get("seed", 1)))

    recorder.step("loading", f"Selecting labels. The live model is {deployment.to_version}.")
    recorder.note(labels=trainable_submissions().count())
    chosen = dataset.build_dataset(champion, recipe)
    recorder.say(_in_words(chosen.counts))
    if (reason := _nothing_new(asked, recipe, chosen)) is not None:
        run_state.end(recorder.run_id, recorder.token, RunState.UNCHANGED, reason)
        return
    recorder.note(data_fingerprint=chosen.fingerprint, recipe=asdict(recipe))
    recorder.say("Loading MNIST.")
    recorder.stage("MNIST", 0.1)
    mnist = load_mnist()
    _train_and_judge(recorder, deployment, recipe, chosen, mnist)


def _recipe(name: str, seed: int) -> SiteRecipe:
    from ml.training.site_recipe import RECIPES

    return replace(RECIPES[name], seed=seed)


def _in_words(counts: dict[str, object]) -> str:
    line = f"{counts['digits']} labelled digits of {counts['drawers']} drawers, {counts['non_digits']} non-digits."
    if counts["contested"]:
        line += f" {counts['contested']} contradict the live model, nobody confirmed them yet, and they weigh little."
    if counts["left_out"]:
        line += f" {counts['left_out']} more are above a cap and wait."
    return line


def _nothing_new(asked: TrainingRun, recipe: SiteRecipe, chosen: dataset.TrainingDataset) -> str | None:
    if recipe.along is not None and not len(chosen.data.labels) and not len(chosen.data.non_digits):
        return "There is no settled label to learn from yet. Review some submissions first."
    earlier = TrainingRun.objects.filter(state__in=FINISHED, pk__lt=asked.pk).exclude(data_fingerprint="")
    last = earlier.order_by("-id").first()
    if last is not None and last.data_fingerprint == chosen.fingerprint:
        return f"Nothing changed since training run {last.pk}: the same labels, the same recipe."
    return None


def _train_and_judge(
    recorder: Recorder, deployment: Deployment, recipe: SiteRecipe, chosen: dataset.TrainingDataset, mnist: Mnist
) -> None:
    from ml.serving.export import load_keras
    from ml.training.eval_sets import gate_datasets, site_evaluation_sets
    from ml.training.export_pipeline import ExportMismatchError, evaluate_model, export_model
    from ml.training.loop import fit, make_deterministic
    from ml.training.site_recipe import build_site_sources, interpolate_weights

    champion = deployment.to_version
    parts = build_site_sources(recipe, mnist, chosen.data, _telling(recorder, 0.15, 0.6))
    checks = site_evaluation_sets(mnist, _telling(recorder, 0.6, 0.8))
    recorder.stage("TensorFlow", 0.8)
    make_deterministic(recipe.seed)
    model, before = None, None
    if recipe.along is not None:
        recorder.say(f"Going on from {champion}.")
        model = load_keras(bytes(champion.files.keras_file), sha256=champion.keras_sha256)
        before = model.get_weights()

    rows = sum(part.size for part in parts)
    recorder.step("training", f"Training: {recipe.epochs} epochs of {rows} images.")
    started = time.monotonic()
    model, history = fit(
        recipe, parts, checks.validation, model=model,
        on_progress=lambda now: _show(recorder, now, started),
        on_epoch=recorder.history,
        should_stop=lambda: recorder.should_stop,
    )  # fmt: skip
    seconds = time.monotonic() - started
    if before is not None:
        model.set_weights(interpolate_weights(before, model.get_weights(), recipe.along))

    recorder.step("exporting", f"Trained in {seconds:.0f} s. Exporting and calibrating.")
    try:
        sealed = export_model(model, recipe.name, checks)
    except ExportMismatchError as error:
        raise RefusedRunError(str(error)) from error
    recorder.step("evaluating", "Evaluating, and comparing with the live model.")
    metrics = evaluate_model(sealed, checks) | {"seconds": round(seconds, 1)}
    recorder.say(f"Test accuracy {metrics['test_accuracy']:.2%}; it is reported and decides nothing.")
    frozen = gate_datasets(checks, _telling(recorder, 0.3, 0.7))
    recorder.stage("the live version", 0.7)
    evaluation.evaluate_older_versions(frozen)
    recorder.stage("the new version", 0.8)
    candidate = versions.classifier_from(sealed.bundle, sealed.keras_file)
    verdict = evaluation.compare(
        candidate, versions.classifier_of(champion), frozen, dataset.holdout_set(),
        agreement=sealed.agreement, labels=chosen.suspicions,
    )  # fmt: skip
    version = ModelVersion(
        parent=champion if before is not None else None,
        origin=Origin.TRAINING,
        recipe=asdict(recipe),
        data_fingerprint=chosen.fingerprint,
        counts=chosen.counts | {"images_per_epoch": rows},
        history=history,
        metrics=metrics | {"gate": verdict.metrics},
    )
    _finish(
        recorder, deployment, version,
        keras_file=sealed.keras_file, bundle=sealed.bundle, verdict=verdict, questions=checks.validation,
    )  # fmt: skip


def _judge_shipped(recorder: Recorder, deployment: Deployment) -> None:
    """The base model that came with an upgrade is a candidate like any other; it only needs no training."""
    from ml.training.eval_sets import gate_datasets, site_evaluation_sets

    shipped = versions.find_new_base()
    if shipped is None:
        raise RefusedRunError("The shipped base model is known already; there is nothing to judge.")
    columns, files = shipped
    recorder.step("loading", "An upgrade brought a new base model. Loading MNIST.")
    checks = site_evaluation_sets(load_mnist(), _telling(recorder, 0.2, 1.0))
    recorder.step("evaluating", "Comparing the new base model with the live one.")
    frozen = gate_datasets(checks, _telling(recorder, 0.0, 0.7))
    evaluation.evaluate_older_versions(frozen)
    candidate = versions.classifier_from(files["bundle"], files["keras_file"])
    champion = versions.classifier_of(deployment.to_version)
    verdict = evaluation.compare(candidate, champion, frozen, dataset.holdout_set())
    version = ModelVersion(**columns | {"metrics": columns["metrics"] | {"gate": verdict.metrics}})
    _finish(recorder, deployment, version, **files, verdict=verdict, questions=checks.validation)


def _finish(
    recorder: Recorder,
    deployment: Deployment,
    version: ModelVersion,
    *,
    keras_file: bytes,
    bundle: bytes,
    verdict: evaluation.GateDecision,
    questions: tuple[np.ndarray, np.ndarray],
) -> None:
    """Store the version and, where the gate lets it pass, make it live: one transaction that begins with the token."""
    passed = verdict.judgement.passed
    recorder.step("promoting", "The gate lets it pass." if passed else "The gate refuses it.", *verdict.said)
    version.gate = verdict.checks
    version.gate_verdict = GateVerdict.PASSED if passed else GateVerdict.REFUSED
    reasons = list(verdict.judgement.reasons)
    state = RunState.PROMOTED if passed else RunState.REFUSED
    if passed:
        _smoke_test(versions.classifier_from(bundle, keras_file), questions)
    with recorder.finishing() as run:
        versions.create_version(version, keras_file=keras_file, bundle=bundle)
        if passed:
            try:
                versions.deploy(
                    version=version, kind=Deployment.Kind.PROMOTE, replaces=deployment,
                    why=f"Training run {run.pk} passed the gate. {verdict.said[0]}",
                )  # fmt: skip
            except versions.DeploymentConflictError:
                state = RunState.REFUSED
                beaten = f"It passed the gate against {deployment.to_version}, which is not live any more."
                reasons = [f"{beaten} Promote it by hand, or train again."]
        run.version, run.state, run.reasons = version, state, reasons
        run.finished = run.heartbeat = timezone.now()
        run.progress |= {"share": 1.0}
        run.save(update_fields=["version", "state", "reasons", "finished", "heartbeat", "progress"])
    log.info("training run %s: %s is %s", run.pk, version, state)


def _smoke_test(candidate: Classifier, questions: tuple[np.ndarray, np.ndarray]) -> None:
    """What is about to be stored was loaded as a worker loads it, and answers. Not within the transaction: on SQLite
    everybody who writes waits for that."""
    images, labels = questions[0][:SMOKE_TEST_SAMPLES], questions[1][:SMOKE_TEST_SAMPLES]
    said = candidate.answer(images)
    right = np.mean([one.digit == label for one, label in zip(said, labels, strict=True)])
    if right < SMOKE_TEST_MIN_CORRECT:
        raise RefusedRunError(f"The stored model reads only {right:.0%} of {len(labels)} digits as a worker loads it.")


def _telling(recorder: Recorder, low: float, high: float) -> Callable[[str, float], None]:
    """For what may have to be drawn first: it takes the present step from `low` to `high`."""
    return lambda what, done: recorder.stage(what, low + (high - low) * done)


def _show(recorder: Recorder, now: Progress, started: float) -> None:
    done = ((now.epoch - 1) * now.batches + now.batch) / (now.epochs * now.batches)
    left = (time.monotonic() - started) * (1 - done) / done
    recorder.progress(
        done, epoch=now.epoch, epochs=now.epochs, batch=now.batch, batches=now.batches,
        loss=round(now.loss, 4), accuracy=round(now.accuracy, 4), seconds_left=round(left),
    )  # fmt: skip


def lower_priority() -> None:
    """For the process that trains: low priority, few threads. Predictions stay fast while it trains.

    TensorFlow's threads were limited before this process began.
    """
    import cv2

    cv2.setNumThreads(settings.TRAINING_THREADS)
    os.nice(max(0, NICE_LEVEL - os.nice(0)))
