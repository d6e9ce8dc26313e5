"""Promotion, forced promotion, rollback and pruning of model versions."""

import hashlib
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from ml.serving import bundle as bundles
from recognizer.models import Deployment, ModelFiles, ModelVersion, RunState, TrainingRun
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.registry import deployments, versions

pytestmark = pytest.mark.django_db


def test_a_version_that_passed_the_gate_is_promoted(operator, make_version):
    version = make_version()
    deployment = deployments.promote(actor=operator, version=version)
    assert (deployment.kind, deployment.who, versions.live_version()) == (
        Deployment.Kind.PROMOTE,
        operator.user,
        version,
    )


def test_a_refused_version_needs_force_and_a_reason(operator, make_version):
    version = make_version(passed=False)
    with pytest.raises(versions.RegistryError, match="Force it"):
        deployments.promote(actor=operator, version=version)
    with pytest.raises(versions.RegistryError, match="Say why"):
        deployments.promote(actor=operator, version=version, force=True, why="  ")
    deployment = deployments.promote(actor=operator, version=version, force=True, why="Our writers need it.")
    assert (deployment.kind, deployment.why) == (Deployment.Kind.FORCE, "Our writers need it.")


def test_only_operators_change_the_live_version(reviewer, visitor, make_version):
    version = make_version()
    for actor in (reviewer, visitor):
        with pytest.raises(NotAllowedError):
            deployments.promote(actor=actor, version=version)
        with pytest.raises(NotAllowedError):
            deployments.roll_back(actor=actor)
    assert versions.live_version().number == 1


def test_a_rollback_leads_to_the_previous_version_or_any_that_was_live(operator, make_version):
    second, third = make_version(), make_version()
    deployments.promote(actor=operator, version=second)
    deployments.promote(actor=operator, version=third)
    assert deployments.roll_back(actor=operator).to_version == second
    first = ModelVersion.objects.get(number=1)
    assert deployments.roll_back(actor=operator, version=first).kind == Deployment.Kind.ROLLBACK
    with pytest.raises(versions.RegistryError, match="never live"):
        deployments.roll_back(actor=operator, version=make_version())


def test_the_first_version_cannot_be_rolled_back(operator):
    with pytest.raises(versions.RegistryError, match="nothing to go back to"):
        deployments.roll_back(actor=operator)


def test_a_change_based_on_an_outdated_deployment_is_rejected(operator, make_version):
    sequence = versions.live_deployment().sequence
    second, third = make_version(), make_version()
    deployments.promote(actor=operator, version=second, expected_sequence=sequence)
    for change in (deployments.promote, deployments.roll_back):
        with pytest.raises(versions.DeploymentConflictError):
            change(actor=operator, version=third, expected_sequence=sequence)
    assert versions.live_version() == second


def test_a_version_for_another_preprocessing_is_tested_before_promotion(operator, make_version):
    fits, unfit = make_version(), make_version()
    for version in (fits, unfit):
        version.manifest = version.manifest | {"preprocessing_version": 0}
        version.save()
    assert deployments.promote(actor=operator, version=fits).to_version == fits
    corrupt(unfit)
    with pytest.raises(versions.RegistryError, match="do not fit together"):
        deployments.promote(actor=operator, version=unfit)


def corrupt(version: ModelVersion) -> None:
    """Replace the bundle by one that loads but predicts nonsense: half of a layer is reversed and scaled by 10."""
    bundle = bundles.read(bytes(version.files.bundle))
    model = bytearray(bundle.model)
    start = (len(model) // 2 - 200_000) // 4 * 4
    weights = np.frombuffer(bytes(model[start : start + 400_000]), np.float32)
    model[start : start + 400_000] = (weights[::-1] * 10).tobytes()
    manifest = replace(bundle.manifest, model_sha256=hashlib.sha256(model).hexdigest())
    data = bundles.write(bytes(model), manifest)
    ModelFiles.objects.filter(version=version).update(bundle=data)
    ModelVersion.objects.filter(pk=version.pk).update(bundle_sha256=hashlib.sha256(data).hexdigest())
    version.refresh_from_db()


def test_pruning_retains_the_live_version_its_ancestors_and_the_rollback_target(operator, make_version, settings):
    settings.KEEP_VERSIONS = 1
    second = make_version()
    third = make_version(parent=second)
    for version in (second, third):
        deployments.promote(actor=operator, version=version)
    fourth = make_version(parent=second)
    deployments.promote(actor=operator, version=fourth)  # live; its ancestors are 2 and 1; a rollback leads to 3
    fifth, sixth = make_version(), make_version()
    assert deployments.prune() == [fifth.number]
    retained = set(ModelFiles.objects.values_list("version__number", flat=True))
    assert retained == {1, second.number, third.number, fourth.number, sixth.number}
    assert ModelVersion.objects.filter(number=fifth.number).exists()
    assert deployments.prune() == []


def test_nothing_is_pruned_while_a_training_runs(make_version, settings):
    settings.KEEP_VERSIONS = 1
    old, _newest = make_version(), make_version()
    run = TrainingRun.objects.create(trigger=TrainingRun.Trigger.SCHEDULE)
    assert deployments.prune() == []
    TrainingRun.objects.filter(pk=run.pk).update(state=RunState.FAILED, finished=timezone.now())
    assert deployments.prune() == [old.number]


def test_the_commands_promote_and_roll_back(make_version):
    version, refused = make_version(), make_version(passed=False)
    out = StringIO()
    call_command("promote", str(version.number), stdout=out)
    assert f"Version {version.number} is live." in out.getvalue()
    with pytest.raises(CommandError, match="Force it"):
        call_command("promote", str(refused.number))
    with pytest.raises(CommandError, match="no version 99"):
        call_command("rollback", "99")
    call_command("rollback", stdout=out)
    assert versions.live_version().number == 1
