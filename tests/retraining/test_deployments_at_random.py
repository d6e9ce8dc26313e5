"""Whatever operators do, in whatever order and two at once: one version is live, and every change has its row."""

import hashlib

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from recognizer.models import Deployment, GateVerdict, ModelFiles, ModelVersion
from recognizer.services import deployments, registry
from recognizer.services.actors import THE_MACHINE


class Operators(RuleBasedStateMachine):
    """A model of the registry beside it: the numbers that were live, in order."""

    @initialize()
    def begin(self) -> None:
        Deployment.objects.filter(sequence__gt=1).delete()
        others = ModelVersion.objects.filter(number__gt=1)
        others.update(parent=None)
        others.delete()
        self.base = ModelVersion.objects.get(number=1)
        self.was_live = [1]
        self.seen = 1

    def _pick(self, data: st.DataObject) -> ModelVersion:
        return data.draw(st.sampled_from(list(ModelVersion.objects.order_by("number"))))

    @rule(passed=st.booleans(), parent=st.integers(0, 5))
    def candidate(self, passed: bool, parent: int) -> None:
        versions = list(ModelVersion.objects.order_by("number"))
        data = bytes([len(versions)]) * 8
        version = ModelVersion.objects.create(
            number=versions[-1].number + 1,
            parent=versions[parent % len(versions)],
            origin="training",
            keras_sha256=hashlib.sha256(data).hexdigest(),
            bundle_sha256=hashlib.sha256(data).hexdigest(),
            manifest=self.base.manifest,
            gate_verdict=GateVerdict.PASSED if passed else GateVerdict.REFUSED,
        )
        ModelFiles.objects.create(version=version, keras_file=data, bundle=data)

    @rule()
    def look(self) -> None:
        """An operator opens the page, and decides later."""
        self.seen = registry.live_deployment().sequence

    @rule(data=st.data(), force=st.booleans(), why=st.sampled_from(["", "because"]), stale=st.booleans())
    def promote(self, data: st.DataObject, force: bool, why: str, stale: bool) -> None:
        version = self._pick(data)
        self._try(
            lambda: deployments.promote(
                actor=THE_MACHINE, version=version, force=force, why=why, seen=self.seen if stale else None
            ),
            version,
            may=version.gate_verdict == GateVerdict.PASSED or (force and bool(why)),
            seen=self.seen if stale else None,
        )

    @rule(data=st.data(), stale=st.booleans())
    def roll_back(self, data: st.DataObject, stale: bool) -> None:
        version = self._pick(data)
        self._try(
            lambda: deployments.roll_back(actor=THE_MACHINE, version=version, seen=self.seen if stale else None),
            version,
            may=version.number in self.was_live,
            seen=self.seen if stale else None,
        )

    @rule(data=st.data())
    def two_at_once(self, data: st.DataObject) -> None:
        """Both decided on the same state; the second one learns that it came late."""
        live = registry.live_deployment()
        first, second = self._pick(data), self._pick(data)
        try:
            registry.deploy(version=first, kind=Deployment.Kind.PROMOTE, why="first", replaces=live)
            self.was_live.append(first.number)
        except registry.RegistryError:
            return
        with pytest.raises(registry.RegistryError):
            registry.deploy(version=second, kind=Deployment.Kind.PROMOTE, why="second", replaces=live)

    @rule()
    def prune(self) -> None:
        deployments.prune()

    def _try(self, act, version: ModelVersion, *, may: bool, seen: int | None) -> None:
        there = ModelFiles.objects.filter(version=version).exists()
        late = seen is not None and seen != registry.live_deployment().sequence
        expected = may and there and not late and version.number != self.was_live[-1]
        try:
            act()
        except registry.RegistryError:
            assert not expected
        else:
            assert expected
            self.was_live.append(version.number)

    @invariant()
    def one_version_is_live_and_its_bytes_verify(self) -> None:
        live = registry.live_version()
        files = ModelFiles.objects.get(version=live)
        assert live.number == self.was_live[-1]
        assert hashlib.sha256(bytes(files.bundle)).hexdigest() == live.bundle_sha256
        assert hashlib.sha256(bytes(files.keras_file)).hexdigest() == live.keras_sha256

    @invariant()
    def every_change_has_its_row(self) -> None:
        rows = Deployment.objects.order_by("sequence").values_list(
            "sequence", "to_version__number", "from_version__number"
        )
        assert list(rows) == [
            (i + 1, number, self.was_live[i - 1] if i else None) for i, number in enumerate(self.was_live)
        ]


@pytest.mark.django_db
def test_exactly_one_version_is_live_whatever_operators_do(settings: object) -> None:
    settings.KEEP_VERSIONS = 2
    run_state_machine_as_test(Operators, settings=FEW)


@pytest.mark.django_db
@pytest.mark.acceptance
def test_exactly_one_version_is_live_whatever_operators_do_for_long(settings: object) -> None:
    settings.KEEP_VERSIONS = 2
    run_state_machine_as_test(Operators, settings=MANY)


CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
FEW = settings(max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=CHECKS, derandomize=True)
MANY = settings(FEW, max_examples=300, stateful_step_count=40)
