"""Deployments of model versions by operators: promote, force, roll back. Pruning of the files of old versions.

Every change of the live version is a new Deployment row (`versions.deploy`). If two are made at the same time, one
fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from ml.versions import PREPROCESSING_VERSION
from recognizer.models import (
    Deployment,
    GateVerdict,
    ModelFiles,
    ModelVersion,
    Submission,
    TrainingRun,
)
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services.identity import permissions
from recognizer.services.identity.throttling import Kind, limit_rate

from . import versions as model_versions
from .versions import DeploymentConflictError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recognizer.services.identity.actors import Actor

# A version that was trained for another preprocessing is tested with the current one: number of synthetic images of
# each digit, required accuracy, and largest allowed loss against the live version.
IMAGES_PER_DIGIT, MIN_ACCURACY, MAX_LOSS = 40, 0.93, 0.01
MAX_HOLDOUT_IMAGES = 1_000


@limit_rate(Kind.CHANGE)
def promote(
    *, actor: Actor, version: ModelVersion, why: str = "", force: bool = False, expected_sequence: int | None = None
) -> Deployment:
    """Make a version live: one that passed the gate, or any version with `force`.

    Args:
        actor: the operator.
        version: the version to deploy.
        why: the operator's reason; required if the version did not pass the gate.
        force: whether a version that did not pass the gate may be deployed.
        expected_sequence: sequence number of the live deployment that the operator saw. If another deployment is live
            now, nothing changes.

    Raises:
        NotAllowedError: the actor is not an operator.
        RegistryError: the version did not pass the gate and `force` or the reason is missing; it is live already; its
            files were pruned; it does not fit the current preprocessing.
        DeploymentConflictError: the live version has changed.
    """
    permissions.require_operator(actor)
    why = why.strip()
    passed = version.gate_verdict == GateVerdict.PASSED
    if not passed and not force:
        raise RegistryError(f"The gate did not let {version} pass. Force it, with a reason, or train again.")
    if not passed and not why:
        raise RegistryError("Say why: the reason is kept with the version for the operators after you.")
    return model_versions.deploy(
        version=_require_fit(version),
        kind=Deployment.Kind.PROMOTE if passed else Deployment.Kind.FORCE,
        user=actor.user,
        why=why or "Promoted by an operator.",
        replaces=_live_deployment(expected_sequence),
    )


@limit_rate(Kind.CHANGE)
def roll_back(
    *, actor: Actor, version: ModelVersion | None = None, why: str = "", expected_sequence: int | None = None
) -> Deployment:
    """Make a version live again that was live before.

    Args:
        actor: the operator.
        version: the version; by default the one before the live version.
        why: the operator's reason.
        expected_sequence: as in `promote`.

    Raises:
        NotAllowedError: the actor is not an operator.
        RegistryError: the version was never live; it is live already; its files were pruned; it does not fit the
            current preprocessing.
        DeploymentConflictError: the live version has changed.
    """
    permissions.require_operator(actor)
    live = _live_deployment(expected_sequence)
    version = version or live.from_version
    if version is None:
        raise RegistryError(f"Version {live.to_version.number} is the first one: there is nothing to go back to.")
    if not version.deployments.exists():
        raise RegistryError(f"Version {version.number} was never live, so there is no way back to it. Promote it.")
    return model_versions.deploy(
        version=_require_fit(version),
        kind=Deployment.Kind.ROLLBACK,
        user=actor.user,
        why=why.strip() or "Rolled back by an operator.",
        replaces=live,
    )


def prune() -> list[int]:
    """Delete the files of old versions, but not their metrics.

    Files are retained for the live version, its ancestors back to the base, the target of a rollback, and the newest
    `KEEP_VERSIONS`. While a training run is active nothing is deleted, because it may use an old version.

    Returns:
        The numbers of the pruned versions.
    """
    if TrainingRun.objects.filter(state__in=ACTIVE_RUN_STATES).exists():
        return []
    retained = _always_retained()
    newest = ModelVersion.objects.filter(files__isnull=False).values_list("pk", flat=True)[: settings.KEEP_VERSIONS]
    retained.update(newest)
    old = ModelVersion.objects.filter(files__isnull=False).exclude(pk__in=retained)
    numbers = list(old.values_list("number", flat=True))
    ModelFiles.objects.filter(version__number__in=numbers).delete()
    return numbers


def _always_retained() -> set[int]:
    live = model_versions.live_deployment()
    parents = dict(ModelVersion.objects.values_list("pk", "parent"))
    retained = {live.from_version_id} if live.from_version_id else set()
    ancestor: int | None = live.to_version_id
    while ancestor is not None and ancestor not in retained - {live.from_version_id}:
        retained.add(ancestor)
        ancestor = parents[ancestor]
    return retained | set(ModelVersion.objects.filter(number=1).values_list("pk", flat=True))


def _live_deployment(expected_sequence: int | None) -> Deployment:
    """Return the live deployment.

    Raises:
        DeploymentConflictError: it has another sequence number than `expected_sequence`, unless that is None.
    """
    live = model_versions.live_deployment()
    if expected_sequence not in (None, live.sequence):
        raise DeploymentConflictError(
            "The live version was changed by another operator meanwhile. Look again, then decide."
        )
    return live


def _require_fit(version: ModelVersion) -> ModelVersion:
    """Return the version. If it was trained for another preprocessing, test it with the current one first.

    Raises:
        RegistryError: its accuracy is too low.
    """
    trained_for = version.manifest.get("preprocessing_version")
    if trained_for == PREPROCESSING_VERSION:
        return version
    accuracies = _accuracies([version, model_versions.live_version()])
    if accuracies[0] < MIN_ACCURACY or accuracies[0] < accuracies[1] - MAX_LOSS:
        read = f"it reads {accuracies[0]:.1%} where the live version reads {accuracies[1]:.1%}"
        raise RegistryError(
            f"Version {version.number} was trained for preprocessing {trained_for}. With today's, version "
            f"{PREPROCESSING_VERSION}, {read}: they do not fit together."
        )
    return version


def _accuracies(versions: Iterable[ModelVersion]) -> list[float]:
    """Return the accuracy of each version on synthetic digits and the site's holdout, with current preprocessing."""
    # Imported here so that pages do not load NumPy and the model runtime.
    import numpy as np

    from ml.readings import Reading, ReadingKind
    from ml.training.eval_sets import FROZEN, draw_balanced

    images, labels = draw_balanced(IMAGES_PER_DIGIT, FROZEN)
    readings = [[Reading(ReadingKind.PLAIN, image)] for image in images]
    submissions = Submission.objects.settled().digits().holdout()
    current = submissions.filter(preprocessing_version=PREPROCESSING_VERSION)
    rows = list(current.only("pixels", "ink", "further_pixels", "further_ink", "truth")[:MAX_HOLDOUT_IMAGES])
    readings += [row.readings for row in rows]
    labels = np.concatenate([labels, [int(row.truth) for row in rows]])
    predictions = [model_versions.classifier_of(version).answer_readings(readings) for version in versions]
    return [float(np.mean([answer.digit for answer in answers] == labels)) for answers in predictions]
