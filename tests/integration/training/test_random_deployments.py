"""Random deployments, sequential and concurrent: exactly one version is live, and every change has its row."""

import hashlib
import itertools
import random
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from digitsite.testing.site import Site
from ml.evaluation.datasets import EvalDataset
from ml.evaluation.gate import GateResult
from ml.serving import bundle as bundles
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.training.comparison import GateDecision
from ml.training.eval_sets import draw_balanced
from ml.training.export_pipeline import ExportedModel
from ml.training.site_training import Candidate
from recognizer.models import Deployment, GateVerdict, ModelFiles, ModelVersion, Origin, RunState, TrainingRun
from recognizer.services import training
from recognizer.services.identity.actors import SYSTEM_ACTOR
from recognizer.services.registry import deployments
from recognizer.services.registry import versions as model_versions
from recognizer.services.training import pipeline, run_state, scheduling

BASE = bundles.read((BASE_FOLDER / BUNDLE_FILE).read_bytes())
SAMPLES = EvalDataset("validation", "Drawn digits", *draw_balanced(3, 1))


class Operators(RuleBasedStateMachine):
    """State machine of the registry. Its model is the list of versions that were live, in order."""

    @initialize()
    def begin(self) -> None:
        Deployment.objects.filter(sequence__gt=1).delete()
        TrainingRun.objects.all().delete()
        versions = ModelVersion.objects.filter(number__gt=1)
        versions.update(parent=None)
        versions.delete()
        self.base = ModelVersion.objects.get(number=1)
        self.was_live = [1]
        self.expected_sequence = 1
        self.run: TrainingRun | None = None

    def _pick(self, data: st.DataObject) -> ModelVersion:
        return data.draw(st.sampled_from(list(ModelVersion.objects.order_by("number"))))

    @rule(passed=st.booleans(), parent=st.integers(0, 5))
    def add_candidate(self, passed: bool, parent: int) -> None:
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
    def open_page(self) -> None:
        """An operator opens the page and decides later."""
        self.expected_sequence = model_versions.live_deployment().sequence

    @rule(data=st.data(), force=st.booleans(), why=st.sampled_from(["", "because"]), stale=st.booleans())
    def promote(self, data: st.DataObject, force: bool, why: str, stale: bool) -> None:
        version = self._pick(data)
        self._try(
            lambda: deployments.promote(
                actor=SYSTEM_ACTOR,
                version=version,
                force=force,
                why=why,
                expected_sequence=self.expected_sequence if stale else None,
            ),
            version,
            is_allowed=version.gate_verdict == GateVerdict.PASSED or (force and bool(why)),
            expected_sequence=self.expected_sequence if stale else None,
        )

    @rule(data=st.data(), stale=st.booleans())
    def roll_back(self, data: st.DataObject, stale: bool) -> None:
        version = self._pick(data)
        self._try(
            lambda: deployments.roll_back(
                actor=SYSTEM_ACTOR, version=version, expected_sequence=self.expected_sequence if stale else None
            ),
            version,
            is_allowed=version.number in self.was_live,
            expected_sequence=self.expected_sequence if stale else None,
        )

    @rule(data=st.data())
    def deploy_twice(self, data: st.DataObject) -> None:
        """Two deployments are based on the same state; the second one fails."""
        live = model_versions.live_deployment()
        first, second = self._pick(data), self._pick(data)
        try:
            model_versions.deploy(version=first, kind=Deployment.Kind.PROMOTE, why="first", replaces=live)
            self.was_live.append(first.number)
        except model_versions.RegistryError:
            return
        with pytest.raises(model_versions.RegistryError):
            model_versions.deploy(version=second, kind=Deployment.Kind.PROMOTE, why="second", replaces=live)

    @rule()
    def prune(self) -> None:
        deployments.prune()

    @precondition(lambda self: self.run is None)
    @rule()
    def start_training(self) -> None:
        self.run = training.queue_run(trigger=TrainingRun.Trigger.SCHEDULE)
        self.recorder = run_state.Recorder(self.run.pk, run_state.claim(self.run.pk))
        self.champion = model_versions.live_deployment()

    @precondition(lambda self: self.run is not None)
    @rule(passed=st.booleans(), is_expired=st.booleans())
    def end_training(self, passed: bool, is_expired: bool) -> None:
        """A candidate goes live only if the champion that it was compared with is still live."""
        run, self.run = self.run, None
        if is_expired:
            run_state.end(run.pk, self.recorder.token, RunState.FAILED, "silent")
            with pytest.raises(run_state.LostRunError):
                finish(self.recorder, self.champion, passed)
            return
        finish(self.recorder, self.champion, passed)
        run.refresh_from_db()
        is_promoted = passed and self.champion.sequence == len(self.was_live)
        assert run.state == (RunState.PROMOTED if is_promoted else RunState.REFUSED)
        assert run.version.gate_verdict == (GateVerdict.PASSED if passed else GateVerdict.REFUSED)
        if is_promoted:
            self.was_live.append(run.version.number)

    @invariant()
    def the_champion_of_a_training_has_its_files(self) -> None:
        if self.run is not None:
            assert ModelFiles.objects.filter(version=self.champion.to_version).exists()

    def _try(
        self, change: Callable[[], object], version: ModelVersion, *, is_allowed: bool, expected_sequence: int | None
    ) -> None:
        has_files = ModelFiles.objects.filter(version=version).exists()
        is_outdated = expected_sequence is not None and expected_sequence != model_versions.live_deployment().sequence
        is_expected = is_allowed and has_files and not is_outdated and version.number != self.was_live[-1]
        try:
            change()
        except model_versions.RegistryError:
            assert not is_expected
        else:
            assert is_expected
            self.was_live.append(version.number)

    @invariant()
    def one_version_is_live_and_its_bytes_verify(self) -> None:
        live = model_versions.live_version()
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


def finish(recorder: run_state.Recorder, champion: Deployment, passed: bool) -> None:
    """End a training run with a version that predicts like the base model and the given gate decision."""
    name = f"run {recorder.run_id}"
    manifest = replace(BASE.manifest, recipe=name)
    exported = ExportedModel(name.encode(), bundles.write(BASE.model, manifest), manifest)
    candidate = Candidate(exported, {}, {}, {}, [])
    decision = GateDecision(GateResult([], [] if passed else ["It is worse."]), {}, ["Decided."])
    version = ModelVersion(origin=Origin.TRAINING, parent=champion.to_version)
    pipeline._finish(recorder, champion, version, candidate, decision)


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_send_task", lambda run: None)


@pytest.mark.django_db
def test_exactly_one_version_is_live_after_random_changes(settings: object) -> None:
    settings.KEEP_VERSIONS = 2
    run_state_machine_as_test(Operators, settings=FEW)


@pytest.mark.django_db
@pytest.mark.acceptance
def test_exactly_one_version_is_live_after_many_random_changes(settings: object) -> None:
    settings.KEEP_VERSIONS = 2
    run_state_machine_as_test(Operators, settings=MANY)


def test_concurrent_changes_by_operators_and_trainings_add_one_row_each(site: Site, make_version: Callable) -> None:
    """Real threads on the database of the site: late changes are rejected, and the rows form an unbroken chain."""
    with site.entered():
        versions = [ModelVersion.objects.get(number=1), *(make_version(passed=i % 2 == 0) for i in range(4))]
        change_counts: list[int] = []
        errors: list[Exception] = []
        begin = threading.Barrier(OPERATORS)

        def decide(number: int) -> None:
            rng = random.Random(number)
            try:
                begin.wait()
                change_counts.append(sum(decide_randomly(rng, versions) for _ in range(DECISIONS)))
            except Exception as error:  # noqa: BLE001 - any error must fail the test
                errors.append(error)
            finally:
                connection.close()

        operators = [threading.Thread(target=decide, args=(number,)) for number in range(OPERATORS)]
        for operator in operators:
            operator.start()
        for operator in operators:
            operator.join()
        assert errors == []
        rows = list(Deployment.objects.order_by("sequence").values_list("sequence", "from_version", "to_version"))
        assert [sequence for sequence, *_ in rows] == list(range(1, len(rows) + 1))
        assert all(before[2] == after[1] != after[2] for before, after in itertools.pairwise(rows))
        assert len(rows) == 1 + sum(change_counts)
        assert sum(change_counts) >= DECISIONS // 2
        live = model_versions.live_version()
        assert live.pk == rows[-1][2]
        assert model_versions.classifier_of(live).logits(SAMPLES.images).shape == (30, 10)


def decide_randomly(rng: random.Random, versions: list[ModelVersion]) -> int:
    """Promote, force, roll back or end a training. Return the number of changes of the live version: 1 or 0."""
    version = rng.choice(versions)
    try:
        match rng.randrange(3):
            case 0:
                deployments.promote(actor=SYSTEM_ACTOR, version=version, force=True, why="because")
            case 1:
                deployments.roll_back(actor=SYSTEM_ACTOR, version=version)
            case _:
                run = training.queue_run(trigger=TrainingRun.Trigger.SCHEDULE)
                recorder = run_state.Recorder(run.pk, run_state.claim(run.pk))
                finish(recorder, model_versions.live_deployment(), passed=True)
                run.refresh_from_db()
                return int(run.state == RunState.PROMOTED)
    except (model_versions.RegistryError, training.AlreadyRunningError):
        return 0
    return 1


OPERATORS, DECISIONS = 4, 12
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
FEW = settings(max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=CHECKS, derandomize=True)
MANY = settings(FEW, max_examples=300, stateful_step_count=40)
