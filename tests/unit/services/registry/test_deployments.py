"""Promote, force, roll back, prune: exactly one version is live, whatever operators do and when."""

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
    made = deployments.promote(actor=operator, version=version)
    assert (made.kind, made.who, versions.live_version()) == (Deployment.Kind.PROMOTE, operator.user, version)


def test_a_refused_version_needs_force_and_a_reason(operator, make_version):
    version = make_version(passed=False)
    with pytest.raises(versions.RegistryError, match="Force it"):
        deployments.promote(actor=operator, version=version)
    with pytest.raises(versions.RegistryError, match="Say why"):
        deployments.promote(actor=operator, version=version, force=True, why="  ")
    made = deployments.promote(actor=operator, version=version, force=True, why="Our writers need it.")
    assert (made.kind, made.why) == (Deployment.Kind.FORCE, "Our writers need it.")


def test_nobody_else_decides(reviewer, visitor, make_version):
    version = make_version()
    for actor in (reviewer, visitor):
        with pytest.raises(NotAllowedError):
            deployments.promote(actor=actor, version=version)
        with pytest.raises(NotAllowedError):
            deployments.roll_back(actor=actor)
    assert versions.live_version().number == 1


def test_rolling_back_leads_to_the_version_before_or_any_that_was_live(operator, make_version):
    second, third = make_version(), make_version()
    deployments.promote(actor=operator, version=second)
    deployments.promote(actor=operator, version=third)
    assert deployments.roll_back(actor=operator).to_version == second
    first = ModelVersion.objects.get(number=1)
    assert deployments.roll_back(actor=operator, version=first).kind == Deployment.Kind.ROLLBACK
    with pytest.raises(versions.RegistryError, match="never live"):
        deployments.roll_back(actor=operator, version=make_version())


def test_the_first_version_has_nothing_to_go_back_to(operator):
    with pytest.raises(versions.RegistryError, match="nothing to go back to"):
        deployments.roll_back(actor=operator)


def test_a_decision_on_an_old_view_of_things_changes_nothing(operator, make_version):
    seen = versions.live_deployment().sequence
    second, third = make_version(), make_version()
    deployments.promote(actor=operator, version=second, expected_sequence=seen)
    for act in (deployments.promote, deployments.roll_back):
        with pytest.raises(versions.DeploymentConflictError):
            act(actor=operator, version=third, expected_sequence=seen)
    assert versions.live_version() == second


def test_a_version_for_another_preprocessing_is_tried_first(operator, make_version):
    fits, unfit = make_version(), make_version()
    for version in (fits, unfit):
        version.manifest = version.manifest | {"preprocessing_version": 0}
        version.save()
    assert deployments.promote(actor=operator, version=fits).to_version == fits
    spoil(unfit)
    with pytest.raises(versions.RegistryError, match="do not fit together"):
        deployments.promote(actor=operator, version=unfit)


def spoil(version: ModelVersion) -> None:
    """Bytes that load and answer nonsense: half of the hidden layer is turned round and ten times as large."""
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


def test_pruning_keeps_what_is_live_its_parents_and_the_way_back(operator, make_version, settings):
    settings.KEEP_VERSIONS = 1
    second = make_version()
    third = make_version(parent=second)
    for version in (second, third):
        deployments.promote(actor=operator, version=version)
    fourth = make_version(parent=second)
    deployments.promote(actor=operator, version=fourth)  # live; parents 2 and 1; one click goes back to 3
    fifth, sixth = make_version(), make_version()
    assert deployments.prune() == [fifth.number]
    kept = set(ModelFiles.objects.values_list("version__number", flat=True))
    assert kept == {1, second.number, third.number, fourth.number, sixth.number}
    assert ModelVersion.objects.filter(number=fifth.number).exists()
    assert deployments.prune() == []


def test_nothing_is_pruned_while_a_training_runs_that_may_have_begun_with_it(make_version, settings):
    settings.KEEP_VERSIONS = 1
    old, _newest = make_version(), make_version()
    run = TrainingRun.objects.create(trigger=TrainingRun.Trigger.SCHEDULE)
    assert deployments.prune() == []
    TrainingRun.objects.filter(pk=run.pk).update(state=RunState.FAILED, finished=timezone.now())
    assert deployments.prune() == [old.number]


def test_the_commands_do_the_same(make_version):
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
