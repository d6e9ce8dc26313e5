"""Requests for training runs, automatic runs, retries, and the end of runs whose trainer is gone."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from recognizer.models import Fold, RunState, Submission, TrainingRun, TruthState
from recognizer.services import training
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.lib.clocks import HeartbeatMonitor
from recognizer.services.training import presenters, run_state, scheduling
from tests.factories import make_submission

pytestmark = pytest.mark.django_db
LABELS, PERSON, SCHEDULE = TrainingRun.Trigger.LABELS, TrainingRun.Trigger.PERSON, TrainingRun.Trigger.SCHEDULE


@pytest.fixture(autouse=True)
def sent_tasks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Primary keys of the runs whose task was sent. There is no broker in these tests."""
    run_ids: list[int] = []
    monkeypatch.setattr(scheduling, "_send_task", lambda run: run_ids.append(run.pk))
    return run_ids


@pytest.fixture(autouse=True)
def retrain_settings(settings):
    settings.RETRAIN_SCHEDULE, settings.RETRAIN_AFTER_LABELS = 0.0, 5


def settle(n: int, **columns: object) -> None:
    for _ in range(n):
        make_submission(**{"truth": "4", "truth_state": TruthState.SETTLED} | columns)


def end(run: TrainingRun, state: RunState = RunState.REFUSED) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(state=state, finished=timezone.now())


def test_an_operator_starts_a_run_and_a_second_request_names_the_active_run(operator):
    run = training.request_run(actor=operator)
    assert (run.state, run.requested_by) == (RunState.QUEUED, operator.user)
    with pytest.raises(training.AlreadyRunningError) as raised:
        training.request_run(actor=operator)
    assert raised.value.run == run


def test_only_operators_start_or_cancel_runs(reviewer, visitor, operator):
    for actor in (reviewer, visitor):
        with pytest.raises(NotAllowedError):
            training.request_run(actor=actor)
    run = training.request_run(actor=operator)
    with pytest.raises(NotAllowedError):
        training.cancel(actor=reviewer, run=run)


def test_an_unknown_recipe_is_rejected(operator):
    with pytest.raises(ValueError, match="site-from-scratch"):
        training.request_run(actor=operator, recipe="secret")


def test_a_queued_run_is_cancelled_immediately_and_a_running_one_is_requested_to_stop(operator):
    waiting = training.request_run(actor=operator)
    assert training.cancel(actor=operator, run=waiting)
    waiting.refresh_from_db()
    assert waiting.state == RunState.CANCELLED
    running = training.request_run(actor=operator)
    run_state.claim(running.pk)
    assert training.cancel(actor=operator, run=running)
    running.refresh_from_db()
    assert (running.state, running.cancel_requested) == (RunState.RUNNING, True)
    assert not training.cancel(actor=operator, run=waiting)


def test_n_newly_settled_labels_start_exactly_one_run():
    settle(4)
    training.run_maintenance()
    assert not TrainingRun.objects.exists()
    assert training.labels_until_next() == 1
    settle(1)
    training.run_maintenance()
    training.run_maintenance()
    run = TrainingRun.objects.get()
    assert (run.trigger, run.labels) == (LABELS, 5)
    end(run)
    training.run_maintenance()
    assert TrainingRun.objects.count() == 1
    settle(5)
    training.run_maintenance()
    assert TrainingRun.objects.count() == 2


def test_only_trainable_labels_are_counted():
    settle(9, fold=Fold.HOLDOUT)
    settle(9, may_train=False)
    settle(9, truth="several")
    settle(9, truth="", truth_state=TruthState.DISPUTED)
    assert training.labels_until_next() == 5
    settle(1, truth="not_a_digit")
    assert training.labels_until_next() == 4


def test_labels_start_no_run_if_that_is_disabled(settings):
    settings.RETRAIN_AFTER_LABELS = 0
    settle(500 // 50)
    training.run_maintenance()
    assert training.labels_until_next() is None
    assert not TrainingRun.objects.exists()


def test_a_scheduled_run_starts_once_when_it_is_due(settings, operator):
    settings.RETRAIN_SCHEDULE, settings.RETRAIN_AFTER_LABELS = 24.0, 0
    settle(1)
    training.run_maintenance()
    assert not TrainingRun.objects.exists()  # the site was just installed
    run = training.request_run(actor=operator)
    end(run)
    TrainingRun.objects.filter(pk=run.pk).update(created=timezone.now() - timedelta(hours=25))
    training.run_maintenance()
    training.run_maintenance()
    assert TrainingRun.objects.filter(trigger=SCHEDULE).count() == 1


class Clock:
    """A monotonic clock that the test advances."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that measures missing heartbeats."""
    clock = Clock()
    monkeypatch.setattr(scheduling, "_heartbeats", HeartbeatMonitor(clock))
    return clock


def check_every_ten_seconds(clock: Clock, checks: int) -> int:
    """Return how many runs expired in a default worker that was never suspended."""
    expired = 0
    for _ in range(checks):
        clock.seconds += 10
        expired += training.expire_stale()
    return expired


def test_a_run_without_heartbeats_is_ended_and_the_next_one_can_start(operator, clock):
    run = training.request_run(actor=operator)
    token = run_state.claim(run.pk)
    assert check_every_ten_seconds(clock, 3) == 0
    assert check_every_ten_seconds(clock, 1) == 1
    after = training.request_run(actor=operator)
    run.refresh_from_db()
    assert run.state == RunState.FAILED
    assert "not heard of" in run.reasons[0]
    assert after.state == RunState.QUEUED
    # The suspended trainer resumes.
    recorder = run_state.Recorder(run.pk, token)
    with pytest.raises(run_state.LostRunError):
        recorder.report("training", 0.0, "next step")
    with pytest.raises(run_state.LostRunError), recorder.commit_result():
        raise AssertionError("nothing may be written any more")
    assert not run_state.end(run.pk, token, RunState.PROMOTED)


def test_a_run_continues_after_the_machine_was_suspended(operator, clock):
    run = training.request_run(actor=operator)
    token = run_state.claim(run.pk)
    assert check_every_ten_seconds(clock, 1) == 0
    clock.seconds += 8 * 3600  # The wall clock advances during sleep; on macOS the monotonic clock does too.
    TrainingRun.objects.filter(pk=run.pk).update(heartbeat=timezone.now() - timedelta(hours=8))
    assert training.expire_stale() == 0
    clock.seconds += 3
    run_state.Recorder(run.pk, token).report("training", 0.0, "Awake again.")
    assert check_every_ten_seconds(clock, 3) == 0
    run.refresh_from_db()
    assert run.state == RunState.RUNNING


@pytest.mark.parametrize("hours", [-3, 3])
def test_changing_the_clock_neither_ends_a_run_nor_keeps_a_stale_one(operator, clock, hours):
    run = training.request_run(actor=operator)
    token = run_state.claim(run.pk)
    check_every_ten_seconds(clock, 1)
    TrainingRun.objects.update(heartbeat=timezone.now() - timedelta(hours=hours))
    assert check_every_ten_seconds(clock, 1) == 0
    run_state.Recorder(run.pk, token).report("training", 0.0, "Still running.")
    assert check_every_ten_seconds(clock, 3) == 0
    assert check_every_ten_seconds(clock, 1) == 1


def fail(run: TrainingRun, *, ago: timedelta = timedelta(0), is_interruption: bool = True) -> None:
    token = run_state.claim(run.pk)
    assert run_state.end(run.pk, token, RunState.FAILED, "Killed.", is_interruption=is_interruption)
    TrainingRun.objects.filter(pk=run.pk).update(finished=timezone.now() - ago)


def test_an_interrupted_run_is_retried_with_increasing_delays(operator):
    first = training.request_run(actor=operator, recipe="site-from-scratch", seed=7)
    fail(first)
    training.run_maintenance()
    assert TrainingRun.objects.get() == first
    TrainingRun.objects.update(finished=timezone.now() - timedelta(seconds=61))
    training.run_maintenance()
    second = TrainingRun.objects.first()
    assert (second.trigger, second.recipe) == (SCHEDULE, {"name": "site-from-scratch", "seed": 7})
    fail(second, ago=timedelta(seconds=61))
    training.run_maintenance()
    assert TrainingRun.objects.first() == second
    assert presenters.next_run().when == second_retry(second)
    TrainingRun.objects.filter(pk=second.pk).update(finished=timezone.now() - timedelta(minutes=5))
    training.run_maintenance()
    assert TrainingRun.objects.count() == 3


def second_retry(run: TrainingRun) -> datetime:
    run.refresh_from_db()
    return run.finished + timedelta(minutes=4)


def test_a_run_that_failed_because_of_its_data_is_not_retried(operator):
    fail(training.request_run(actor=operator), ago=timedelta(days=2), is_interruption=False)
    training.run_maintenance()
    assert TrainingRun.objects.count() == 1


def test_a_retry_and_the_schedule_do_not_wait_after_the_clock_was_set_back(settings, operator):
    run = training.request_run(actor=operator)
    fail(run, ago=timedelta(hours=-3))  # its end lies in the future
    training.run_maintenance()
    again = TrainingRun.objects.first()
    assert again != run
    settle(1)
    end(again)
    settings.RETRAIN_SCHEDULE, settings.RETRAIN_AFTER_LABELS = 24.0, 0
    TrainingRun.objects.filter(pk=again.pk).update(created=timezone.now() + timedelta(hours=3))
    training.run_maintenance()
    assert TrainingRun.objects.count() == 3


def test_the_delay_of_a_queued_run_restarts_after_the_clock_was_set_back(operator):
    run = training.request_run(actor=operator)
    TrainingRun.objects.filter(pk=run.pk).update(created=timezone.now() + timedelta(hours=3))
    training.run_maintenance()
    run.refresh_from_db()
    assert run.created <= timezone.now()  # so that its task is sent again in seconds, not in hours


def test_a_run_is_claimed_once(operator):
    run = training.request_run(actor=operator)
    assert run_state.claim(run.pk)
    assert run_state.claim(run.pk) is None


def test_a_lost_task_is_sent_again(operator, sent_tasks):
    run = training.request_run(actor=operator)
    sent_tasks.clear()
    training.run_maintenance()
    assert sent_tasks == []
    TrainingRun.objects.filter(pk=run.pk).update(created=timezone.now() - timedelta(seconds=40))
    training.run_maintenance()
    training.run_maintenance()
    assert sent_tasks == [run.pk]


def test_progress_is_written_and_read_back(operator):
    run = training.request_run(actor=operator)
    recorder = run_state.Recorder(run.pk, run_state.claim(run.pk))
    recorder.report("training", 0.0, "Training.")
    recorder.report("training", 0.5, history={"loss": [0.5]}, epoch=2)
    recorder.report("training", 0.6, epoch=2)  # too soon to be written
    run.refresh_from_db()
    assert run.progress == {"step": "training", "share": 0.45, "history": {"loss": [0.5]}, "epoch": 2}
    assert [line for _, line in run.log] == ["Training."]
    # A part of a step is named and advances the progress.
    recorder.report("evaluating", 0.0, "Evaluating.")
    recorder.report("evaluating", 0.5, doing="photographing the gate's digits")
    run.refresh_from_db()
    assert run.progress["share"] == 0.885
    assert run.progress["history"] == {"loss": [0.5]}
    assert presenters.state_of(run)["line"] == "Evaluating: photographing the gate's digits"
    assert Submission.objects.count() == 0
