"""The end of the training process, and how the trainer reports it."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from digitsite.testing.site import BASE_DIR, Site
from recognizer.models import RunState, TrainingRun
from recognizer.services.training import run_state, subprocess_runner
from recognizer.services.training.subprocess_runner import TOKEN_VARIABLE


@pytest.fixture
def run(site_context: Site) -> TrainingRun:
    """A run that ends within a second, because there are no labels."""
    return TrainingRun.objects.create(trigger=TrainingRun.Trigger.PERSON, recipe={"name": "site", "seed": 1})


def start_process(site: Site, run: TrainingRun) -> subprocess.Popen[str]:
    token = run_state.claim(run.pk)
    return subprocess.Popen(
        [sys.executable, "manage.py", "run_training", str(run.pk)],
        cwd=BASE_DIR,
        env=site.environment | {TOKEN_VARIABLE: token},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_training_process_exits_with_status_0_and_a_clean_log(site_context: Site, run: TrainingRun) -> None:
    with start_process(site_context, run) as process:
        process.wait(60)  # its standard input is still open, as the trainer's worker keeps it
        log = process.stdout.read()
    run.refresh_from_db()
    assert run.state == RunState.UNCHANGED
    assert process.returncode == 0, log
    assert "Fatal" not in log


def test_a_training_process_exits_with_the_worker_that_started_it(site_context: Site, run: TrainingRun) -> None:
    with start_process(site_context, run) as process:
        process.stdin.close()
        assert process.wait(60) == 1


def test_the_trainer_reports_a_process_that_crashed_after_its_run_had_ended(
    site_context: Site, run: TrainingRun, caplog: pytest.LogCaptureFixture
) -> None:
    token = run_state.claim(run.pk)
    run_state.end(run.pk, token, RunState.UNCHANGED)
    with subprocess.Popen([sys.executable, "-c", "import os; os.abort()"]) as process:
        subprocess_runner._watch(process, run.pk, token)
    assert f"the training process of run {run.pk} ended by signal 6" in caplog.text


@pytest.fixture
def waiting_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for input and writes no heartbeat."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.mark.both_databases
def test_a_stopped_process_is_given_up_immediately(run: TrainingRun, waiting_process: subprocess.Popen[bytes]) -> None:
    waiting_process.send_signal(signal.SIGSTOP)
    failure = subprocess_runner._watch(waiting_process, run.pk, run_state.claim(run.pk))
    assert "stopped by a signal" in failure.reason


@pytest.mark.both_databases
def test_a_process_without_heartbeats_is_given_up_by_its_parent(
    run: TrainingRun, settings, waiting_process: subprocess.Popen[bytes]
) -> None:
    """Only the parent can do this: a suspended process that locks an SQLite file blocks all other writers."""
    settings.TRAINER_SILENCE_SECONDS = 1
    failure = subprocess_runner._watch(waiting_process, run.pk, run_state.claim(run.pk))
    assert "not heard of for 1 second" in failure.reason
