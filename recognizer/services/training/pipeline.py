"""Training pipeline: select labels, train, compare with the live version, store and promote.

It runs in the training process. The complete recipe is stored with the version, so that the same labels give the same
model again.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from ml.data.mnist import MnistError
from ml.training import comparison, site_recipe
from ml.training.export_pipeline import ExportMismatchError
from ml.training.site_training import Candidate, KerasFile, prepare_shipped, train_candidate
from recognizer.models import Deployment, GateVerdict, ModelVersion, Origin, RunState, TrainingRun
from recognizer.services.registry import versions

from . import dataset, run_state
from .scheduling import SHIPPED

log = logging.getLogger(__name__)

# Errors that are not caused by the labels: a full disk, a restart of the database, too little memory.
MACHINE_ERRORS = (OSError, MemoryError, DatabaseError)
FINISHED = (RunState.PROMOTED, RunState.REFUSED, RunState.UNCHANGED)


class UnchangedError(Exception):
    """There is nothing new to learn. The message says why."""


def run_pipeline(run_id: int, token: str) -> None:
    """Carry out a training run and end it.

    Args:
        run_id: primary key of the run.
        token: token of the run, from `run_state.claim`.

    Raises:
        LostRunError: the token does not hold the run (any more); nothing was written since.
    """
    with run_state.recording(run_id, token) as recorder:
        try:
            _run(recorder)
        except run_state.LostRunError:
            raise
        except run_state.CancelledRunError:
            run_state.end(run_id, token, RunState.CANCELLED, "An operator cancelled it.")
        except UnchangedError as error:
            run_state.end(run_id, token, RunState.UNCHANGED, str(error))
        except MnistError as error:
            run_state.end(run_id, token, RunState.FAILED, str(error), is_interruption=True)
        except (comparison.SmokeTestError, ExportMismatchError, versions.RegistryError) as error:
            run_state.end(run_id, token, RunState.FAILED, str(error))
        except Exception as error:
            log.exception("training run %s failed", run_id)
            reason = f"{type(error).__name__}: {error}"
            run_state.end(run_id, token, RunState.FAILED, reason, is_interruption=isinstance(error, MACHINE_ERRORS))


def _run(recorder: run_state.Recorder) -> None:
    """Carry out the steps of a run in order."""
    run = TrainingRun.objects.get(pk=recorder.run_id)
    live = versions.live_deployment()
    champion = versions.classifier_of(live.to_version)
    if run.recipe["name"] == SHIPPED:
        version, candidate = _load_shipped(recorder)
        suspicions = []
    else:
        recipe = replace(site_recipe.RECIPES[run.recipe["name"]], seed=int(run.recipe.get("seed", 1)))
        recorder.report("loading", 0.0, f"Selecting labels. The live model is {live.to_version}.")
        training_data = dataset.build_dataset(champion, recipe)
        recorder.report("loading", 0.05, training_data.description)
        _require_news(run, recipe, training_data)
        version, candidate = _train(recorder, live.to_version, recipe, training_data)
        suspicions = training_data.suspicions

    recorder.report("evaluating", 0.7, doing="the live version and the new one")
    decision = comparison.compare(
        candidate, champion, dataset.holdout_datasets(),
        earlier=_measure_deployed_versions(candidate), suspicions=suspicions, runtime=settings.INFERENCE_RUNTIME,
    )  # fmt: skip
    passed = decision.result.passed
    recorder.report(
        "promoting", 0.0, f"The candidate {'passed' if passed else 'did not pass'} the gate.", *decision.summary
    )
    if passed:
        comparison.smoke_test(candidate, settings.INFERENCE_RUNTIME)
    _finish(recorder, live, version, candidate, decision)


def _load_shipped(recorder: run_state.Recorder) -> tuple[ModelVersion, Candidate]:
    """Return the base model of an upgrade as a candidate, and its unsaved version.

    Raises:
        RegistryError: it is known already.
    """
    shipped = versions.find_new_base()
    if shipped is None:
        raise versions.RegistryError("The shipped base model is known already; there is nothing to evaluate.")
    version, exported = shipped
    return version, prepare_shipped(exported, version.metrics, version.history, recorder.report)


def _require_news(run: TrainingRun, recipe: site_recipe.SiteRecipe, training_data: dataset.TrainingDataset) -> None:
    """Check that there is something to learn that the last run did not learn.

    Raises:
        UnchangedError: there are no labels, or labels and recipe are the same as in the last run.
    """
    site = training_data.data
    if recipe.interpolation is not None and not len(site.labels) and not len(site.non_digits):
        raise UnchangedError("There is no settled label to learn from yet. Review some submissions first.")
    earlier_runs = TrainingRun.objects.filter(state__in=FINISHED, pk__lt=run.pk).exclude(data_fingerprint="")
    last = earlier_runs.order_by("-id").first()
    if last is not None and last.data_fingerprint == training_data.fingerprint:
        raise UnchangedError(f"Nothing changed since training run {last.pk}: the same labels, the same recipe.")


def _train(
    recorder: run_state.Recorder,
    live: ModelVersion,
    recipe: site_recipe.SiteRecipe,
    training_data: dataset.TrainingDataset,
) -> tuple[ModelVersion, Candidate]:
    """Train a candidate, and describe it as an unsaved version."""
    parent = live if recipe.interpolation is not None else None
    champion = KerasFile(bytes(live.files.keras_file), live.keras_sha256)
    candidate = train_candidate(recipe, training_data.data, champion, recorder.report)
    version = ModelVersion(
        parent=parent,
        origin=Origin.TRAINING,
        recipe=recipe.stored_form,
        data_fingerprint=training_data.fingerprint,
        counts=training_data.counts | {"images_per_epoch": candidate.images_per_epoch},
        history=candidate.history,
    )
    return version, candidate


def _measure_deployed_versions(candidate: Candidate) -> dict[str, dict[str, object]]:
    """Return the metrics of all versions that were live, by name.

    Those that were not measured on the candidate's frozen sets are measured now, if their files still exist: the
    shipped base model, and all versions after an upgrade that changes the sets.
    """
    deployed = ModelVersion.objects.filter(deployments__isnull=False).distinct()
    for version in deployed.filter(files__isnull=False):
        if version.model_metrics.gate.frozen != candidate.frozen_id:
            classifier = versions.classifier_of(version)
            version.metrics = comparison.measure(version.metrics, classifier, candidate, settings.INFERENCE_RUNTIME)
            version.save(update_fields=["metrics"])
    return {str(version): version.metrics for version in deployed}


def _finish(
    recorder: run_state.Recorder,
    live: Deployment,
    version: ModelVersion,
    candidate: Candidate,
    decision: comparison.GateDecision,
) -> None:
    """Store the version and deploy it if it passed the gate, in one transaction that checks the token first.

    Args:
        recorder: recorder of the run.
        live: the deployment that the candidate was compared with.
        version: the unsaved version.
        candidate: its files.
        decision: decision of the gate.
    """
    passed, reasons = decision.result.passed, list(decision.result.reasons)
    version.metrics, version.gate = decision.metrics, decision.checks
    version.gate_verdict = GateVerdict.PASSED if passed else GateVerdict.REFUSED
    state = RunState.PROMOTED if passed else RunState.REFUSED
    with recorder.commit_result() as run:
        versions.create_version(version, candidate.exported)
        if passed:
            why = f"Training run {run.pk} passed the gate. {decision.summary[0]}"
            try:
                versions.deploy(version=version, kind=Deployment.Kind.PROMOTE, replaces=live, why=why)
            except versions.DeploymentConflictError:
                state = RunState.REFUSED
                outdated = f"It passed the gate against {live.to_version}, which is not live any more."
                reasons = [f"{outdated} Promote it by hand, or train again."]
        run.version, run.state, run.reasons = version, state, reasons
        if version.origin == Origin.TRAINING:
            run.recipe, run.data_fingerprint = version.recipe, version.data_fingerprint
        run.finished = run.heartbeat = timezone.now()
        run.progress |= {"share": 1.0}
        run.save()
    log.info("training run %s: %s is %s", run.pk, version, state)
