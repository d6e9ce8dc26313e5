"""What operators do with versions: promote, force, roll back. And which bytes of old versions are kept.

Every change of the live version is a new Deployment row (`registry.deploy`); of two that were decided upon at the same
time one fails.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings

from ml.versions import PREPROCESSING_VERSION
from recognizer.models import (
    DIGITS,
    Deployment,
    Fold,
    GateVerdict,
    ModelFiles,
    ModelVersion,
    Submission,
    TrainingRun,
    TruthState,
)
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.throttling import Kind, limit_rate

from . import versions as model_versions
from .versions import DeploymentConflictError, RegistryError

# A version made for another preprocessing is tried on so many drawn digits of each kind, and must read this share of
# them as today's preprocessing prepares them, and lose at most this share against the live version.
MIN_IMAGES_PER_DIGIT, FITS_FROM, FITS_LOSS = 40, 0.93, 0.01
HOLDOUT_PICTURES = 1_000


@limit_rate(Kind.CHANGE)
def promote(
    *, actor: Actor, version: ModelVersion, why: str = "", force: bool = False, seen: int | None = None
) -> Deployment:
    """Make a version live that is not: one that passed the gate, or with `force` any.

    Args:
        why: the operator's reason; needed with `force`.
        seen: sequence number of the deployment that the operator looked at; if another came since, nothing changes.

    Raises:
        NotAllowedError: the actor is no operator.
        RegistryError: the gate did not let it pass and `force` or the reason is missing; it is live already; its files
            were pruned; it does not fit today's preprocessing.
        DeploymentConflictError: the live version was changed meanwhile.
    """
    permissions.require_operator(actor)
    why = why.strip()
    passed = version.gate_verdict == GateVerdict.PASSED
    if not passed and not force:
        raise RegistryError(f"The gate did not let {version} pass. Force it, with a reason, or train again.")
    if not passed and not why:
        raise RegistryError("Say why: the reason is kept beside the version for whoever comes after you.")
    return model_versions.deploy(
        version=_that_fits(version),
        kind=Deployment.Kind.PROMOTE if passed else Deployment.Kind.FORCE,
        who=actor.user,
        why=why or "Promoted by an operator.",
        replaces=_still(seen),
    )


@limit_rate(Kind.CHANGE)
def roll_back(
    *, actor: Actor, version: ModelVersion | None = None, why: str = "", seen: int | None = None
) -> Deployment:
    """Go back to a version that was live before; by default the one before the present one.

    Raises: as `promote`; RegistryError also when the version was never live.
    """
    permissions.require_operator(actor)
    live = _still(seen) or model_versions.live_deployment()
    if version is None:
        version = _before(live)
    if not version.deployments.exists():
        raise RegistryError(f"Version {version.number} was never live, so there is no way back to it. Promote it.")
    return model_versions.deploy(
        version=_that_fits(version),
        kind=Deployment.Kind.ROLLBACK,
        who=actor.user,
        why=why.strip() or "Rolled back by an operator.",
        replaces=live,
    )


def prune() -> list[int]:
    """Delete the files of old versions; their figures stay. Returns the numbers of those pruned.

    Kept: the live version, its parents back to the base, the version to which one click goes back, and the newest
    `KEEP_VERSIONS`. While a training run is going on nothing is deleted: it may have begun with what is old by now.
    """
    if TrainingRun.objects.filter(state__in=ACTIVE_RUN_STATES).exists():
        return []
    kept = _never_pruned()
    newest = ModelVersion.objects.filter(files__isnull=False).values_list("pk", flat=True)[: settings.KEEP_VERSIONS]
    kept.update(newest)
    old = ModelVersion.objects.filter(files__isnull=False).exclude(pk__in=kept)
    numbers = list(old.values_list("number", flat=True))
    ModelFiles.objects.filter(version__number__in=numbers).delete()
    return numbers


def _never_pruned() -> set[int]:
    live = model_versions.live_deployment()
    parents = dict(ModelVersion.objects.values_list("pk", "parent"))
    kept = {live.from_version_id} if live.from_version_id else set()
    step: int | None = live.to_version_id
    while step is not None and step not in kept - {live.from_version_id}:
        kept.add(step)
        step = parents[step]
    return kept | set(ModelVersion.objects.filter(number=1).values_list("pk", flat=True))


def _still(seen: int | None) -> Deployment | None:
    """The newest deployment, if it is the one that was looked at."""
    if seen is None:
        return None
    newest = model_versions.live_deployment()
    if newest.sequence != seen:
        raise DeploymentConflictError(
            "The live version was changed by somebody else meanwhile. Look again and decide anew."
        )
    return newest


def _before(live: Deployment) -> ModelVersion:
    if live.from_version is None:
        raise RegistryError(f"Version {live.to_version.number} is the first one: there is nothing to go back to.")
    return live.from_version


def _that_fits(version: ModelVersion) -> ModelVersion:
    """The version, after a trial where it was made for another preprocessing than today's.

    Raises:
        RegistryError: it reads too little of what today's preprocessing makes.
    """
    made_for = version.manifest.get("preprocessing_version")
    if made_for == PREPROCESSING_VERSION:
        return version
    accuracies = _accuracies([version, model_versions.live_version()])
    if accuracies[0] < FITS_FROM or accuracies[0] < accuracies[1] - FITS_LOSS:
        read = f"it reads {accuracies[0]:.1%} where the live version reads {accuracies[1]:.1%}"
        raise RegistryError(
            f"Version {version.number} was trained for preprocessing {made_for}. With today's, version "
            f"{PREPROCESSING_VERSION}, {read}: they do not fit together."
        )
    return version


def _accuracies(versions: Iterable[ModelVersion]) -> list[float]:
    """Of each version on drawn digits and on the site's holdout, both as today's preprocessing makes them."""
    import numpy as np  # here and below: pages do without the model until somebody asks for it

    from ml.training.eval_sets import FROZEN, draw_balanced

    images, labels = draw_balanced(MIN_IMAGES_PER_DIGIT, FROZEN)
    held = Submission.objects.filter(
        fold=Fold.HOLDOUT,
        truth_state=TruthState.SETTLED,
        truth__in=DIGITS,
        preprocessing_version=PREPROCESSING_VERSION,
    ).values_list("pixels", "truth")[:HOLDOUT_PICTURES]
    if rows := list(held):
        site = np.stack([np.frombuffer(bytes(pixels), np.uint8).reshape(28, 28) for pixels, _ in rows])
        images = np.concatenate([images, site])
        labels = np.concatenate([labels, [int(truth) for _, truth in rows]])
    right = [model_versions.classifier_of(one).logits(images).argmax(axis=1) == labels for one in versions]
    return [float(one.mean()) for one in right]
