"""Complete training runs in this process, with few images and the database of the site."""

from dataclasses import replace

import pytest

from digitsite.testing.writers import common_hands
from ml.data.mnist import MnistError
from ml.evaluation.gate import GateResult
from ml.training import comparison, site_training
from recognizer.models import Deployment, GateVerdict, ModelFiles, ModelVersion, RunState, TrainingRun
from recognizer.services import training
from recognizer.services.registry import versions
from recognizer.services.training import pipeline, run_state, scheduling
from tests.support.labelled_rows import settle_drawings

pytestmark = [
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
    pytest.mark.usefixtures("small_training"),
]


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_send_task", lambda run: None)


def request_run(**params: object) -> TrainingRun:
    return training.queue_run(trigger=TrainingRun.Trigger.SCHEDULE, **params)


def carry_out(run: TrainingRun) -> TrainingRun:
    pipeline.run_pipeline(run.pk, run_state.claim(run.pk))
    run.refresh_from_db()
    return run


def test_a_run_is_promoted_and_the_next_one_finds_no_new_labels():
    settle_drawings(common_hands(3, 1), 60)
    settle_drawings(common_hands(3, 1), 30, fold="holdout", seed=2)
    run = carry_out(request_run())
    assert run.state == RunState.PROMOTED, run.reasons
    version = run.version
    assert versions.live_version() == version
    assert (version.number, version.parent.number, version.gate_verdict) == (2, 1, GateVerdict.PASSED)
    assert len(version.history["loss"]) == len(version.history["val_accuracy"]) == 3
    assert version.counts["digits"] == 60
    assert version.metrics["gate"]["holdout"]["n"] == 30
    assert {"validation", "validation.7", "distorted", "non_digits", "holdout", "agreement"} <= {
        check["name"] for check in version.gate
    }
    assert run.progress["share"] == 1.0
    # The recipe contains all hyper-parameters, under the stored keys.
    assert (version.recipe["along"], version.recipe["replayed"]) == (0.5, 1_000)
    assert version.recipe["photographed"] == {"made": 50, "rows": 50}
    assert len(run.log) >= 6
    # The summary is stored with the version, the run and the deployment.
    summary = version.metrics["gate"]["said"]
    assert "30 settled digits" in summary[1]
    assert set(summary) <= {line for _, line in run.log}
    assert Deployment.objects.first().why == f"Training run {run.pk} passed the gate. {summary[0]}"
    assert Deployment.objects.first().kind == Deployment.Kind.PROMOTE
    # The base model was evaluated on the same sets, so that it counts among the best versions.
    assert "gate" in ModelVersion.objects.get(number=1).metrics

    next_run = carry_out(request_run())
    assert next_run.state == RunState.UNCHANGED
    assert f"training run {run.pk}" in next_run.reasons[0]
    assert ModelVersion.objects.count() == 2


@pytest.mark.usefixtures("upgraded_base")
def test_a_refused_version_is_stored_with_its_reasons_and_not_deployed(monkeypatch):
    def refuse(*args: object, **params: object) -> GateResult:
        return replace(gate(*args, **params), reasons=["Digit 7 lost."])

    gate = comparison.run_gate
    monkeypatch.setattr(comparison, "run_gate", refuse)
    run = carry_out(request_run(recipe="shipped"))
    assert (run.state, run.reasons) == (RunState.REFUSED, ["Digit 7 lost."])
    assert run.version.gate_verdict == GateVerdict.REFUSED
    assert ModelFiles.objects.filter(version=run.version).exists()
    assert versions.live_version().number == 1


def test_a_run_without_labels_ends_as_unchanged():
    run = carry_out(request_run())
    assert run.state == RunState.UNCHANGED
    assert "Review some submissions" in run.reasons[0]


def test_a_run_without_mnist_fails_and_explains_how_to_provide_it(monkeypatch):
    settle_drawings(common_hands(1, 1), 10)

    def raise_mnist_error() -> None:
        raise MnistError("MNIST could not be loaded. Set MNIST_PATH to mnist.npz.")

    monkeypatch.setattr(site_training, "load_mnist", raise_mnist_error)
    run = carry_out(request_run())
    assert run.state == RunState.FAILED
    assert "MNIST_PATH" in run.reasons[0]


def test_a_cancelled_run_stores_no_version(operator, monkeypatch):
    settle_drawings(common_hands(1, 1), 10)
    run = request_run()

    report = run_state.Recorder.report

    def cancel_in_training(recorder: run_state.Recorder, step: str, *args: object, **details: object) -> None:
        if "epoch" in details:
            training.cancel(actor=operator, run=run)
            recorder.send_heartbeat()
        report(recorder, step, *args, **details)

    monkeypatch.setattr(run_state.Recorder, "report", cancel_in_training)
    carry_out(run)
    assert run.state == RunState.CANCELLED
    assert ModelVersion.objects.count() == 1


@pytest.mark.usefixtures("upgraded_base")
def test_a_run_that_was_ended_by_others_writes_nothing_when_it_continues(monkeypatch):
    run = request_run(recipe="shipped")
    finish = pipeline._finish

    def end_run_first(*args: object, **params: object) -> None:
        TrainingRun.objects.filter(pk=run.pk).update(state=RunState.FAILED, reasons=["silent"], finished=run.created)
        finish(*args, **params)

    monkeypatch.setattr(pipeline, "_finish", end_run_first)
    with pytest.raises(run_state.LostRunError):
        pipeline.run_pipeline(run.pk, run_state.claim(run.pk))
    run.refresh_from_db()
    assert (run.state, run.reasons) == (RunState.FAILED, ["silent"])
    assert ModelVersion.objects.count() == 1
    assert Deployment.objects.count() == 1


@pytest.mark.usefixtures("upgraded_base")
def test_a_version_that_beat_a_former_champion_is_not_deployed_automatically(make_version, monkeypatch):
    run = request_run(recipe="shipped")
    finish = pipeline._finish

    def promote_another_first(*args: object, **params: object) -> None:
        versions.deploy(version=make_version(), kind=Deployment.Kind.FORCE, why="meanwhile")
        finish(*args, **params)

    monkeypatch.setattr(pipeline, "_finish", promote_another_first)
    carry_out(run)
    assert run.state == RunState.REFUSED
    assert "not live any more" in run.reasons[0]
    assert run.version.gate_verdict == GateVerdict.PASSED
    assert versions.live_version().number == 2


@pytest.mark.usefixtures("upgraded_base")
def test_a_new_base_model_must_pass_the_gate():
    training.run_maintenance()
    run = TrainingRun.objects.get()
    carry_out(run)
    assert run.state == RunState.PROMOTED, run.reasons
    assert (run.version.origin, run.version.manifest["recipe"]) == ("base", "upgraded")
    training.run_maintenance()
    assert TrainingRun.objects.count() == 1


def test_a_known_base_model_is_not_evaluated_again():
    assert versions.find_new_base() is None
    training.run_maintenance()
    assert not TrainingRun.objects.exists()


def test_an_unexpected_error_ends_the_run_with_its_name(monkeypatch):
    settle_drawings(common_hands(1, 1), 10)

    def raise_disk_full(*args: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(site_training, "load_mnist", raise_disk_full)
    run = carry_out(request_run())
    assert (run.state, run.reasons) == (RunState.FAILED, ["OSError: No space left on device"])
