"""Runs a training in a subprocess of the trainer's worker, monitors it, and ends its run.

The subprocess frees TensorFlow's 600 MB when it exits, can be killed at any time, and has its priority and its number
of threads set before anything is loaded.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import dataclass

from celery.worker import state
from django.conf import settings

from recognizer.models import RunState
from recognizer.services.lib.clocks import AwakeClock, HeartbeatMonitor

from . import run_state

log = logging.getLogger(__name__)

# The token is passed in the environment, which other users of the machine cannot read.
TOKEN_VARIABLE = "TRAINING_RUN_TOKEN"  # noqa: S105 - the name of the variable
# The lowest priority. Measured: a single prediction then takes hardly longer than on an idle site; at 10 it takes 1.5
# times as long. SCHED_IDLE is no better for predictions, and on a busy machine a training would never end.
NICE_LEVEL = 19
POLL_SECONDS = 0.5
# A longer gap between two polls means that this process was suspended, and probably the training too.
MAX_GAP_SECONDS = 4 * POLL_SECONDS
# Number of consecutive polls that find the process stopped by a signal. If the whole process group was stopped and
# continued, the training runs again by the second poll.
MIN_STOPPED_POLLS = 2
STOP_TIMEOUT_SECONDS = 5


def run_in_subprocess(run_id: int) -> None:
    """Carry out a queued run in a subprocess, unless the run was already claimed.

    If the worker stops, the run fails.
    """
    token = run_state.claim(run_id)
    if token is None:
        log.info("training run %s is not queued any more", run_id)
        return
    with _start(run_id, token) as process:
        try:
            failure = _watch(process, run_id, token)
        finally:
            process.kill()  # There is nothing to clean up, and a suspended process does not handle SIGTERM.
    run_state.end(run_id, token, RunState.FAILED, failure.reason, is_interruption=failure.is_interruption)


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a run failed whose subprocess did not end it.

    Attributes:
        reason: one sentence.
        is_interruption: whether the cause is something other than the data.
    """

    reason: str
    is_interruption: bool = True


def _start(run_id: int, token: str) -> subprocess.Popen[bytes]:
    threads = str(settings.TRAINING_THREADS)
    limits = {
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # Two threads of the subprocess allocate memory; more arenas would only use more of it.
        "MALLOC_ARENA_MAX": "2",
    }
    # The subprocess is in the worker's process group, so killing the group kills it too. It also reads its standard
    # input, which is closed when this process ends for any reason.
    return subprocess.Popen(
        ["nice", "-n", str(NICE_LEVEL), sys.executable, "manage.py", "run_training", str(run_id)],
        cwd=settings.BASE_DIR,
        env=os.environ | limits | {TOKEN_VARIABLE: token},
        stdin=subprocess.PIPE,
    )


def _watch(process: subprocess.Popen[bytes], run_id: int, token: str) -> Failure:
    """Wait for the subprocess, and return why the run failed if the subprocess has not ended the run itself.

    The heartbeat is monitored as well: a process that is suspended while it holds the lock of an SQLite file blocks
    other writers, so others could not end its run. If a signal stopped the process, two polls are enough.
    """
    clock, heartbeats, stopped_polls = AwakeClock(), HeartbeatMonitor(), 0
    silence = settings.TRAINER_SILENCE_SECONDS
    while True:
        try:
            return _exit_failure(run_id, process.wait(POLL_SECONDS))
        except subprocess.TimeoutExpired:
            pass
        if _is_worker_stopping():
            return Failure("The trainer was stopped.")
        if clock.now(MAX_GAP_SECONDS) > settings.RETRAIN_TIME_LIMIT:
            limit = f"It took longer than {settings.RETRAIN_TIME_LIMIT:.0f} seconds (RETRAIN_TIME_LIMIT)."
            return Failure(limit, is_interruption=False)
        heartbeat = run_state.heartbeat(run_id, token)
        if heartbeat is None:
            return _wait_after_end(process, run_id)
        if heartbeats.unchanged_seconds(heartbeat, max_gap=MAX_GAP_SECONDS) > silence:
            return Failure(run_state.missed_heartbeat_reason(silence))
        stopped_polls = stopped_polls + 1 if _is_stopped(process) else 0
        if stopped_polls == MIN_STOPPED_POLLS:
            return Failure("The training process was stopped by a signal, and may keep others from writing.")


def _is_worker_stopping() -> bool:
    # Unset flags are None or False; set flags hold an exit code, which may be 0.
    flags: tuple[object, ...] = (state.should_stop, state.should_terminate)
    return not all(flag is None or flag is False for flag in flags)


def _exit_failure(run_id: int, code: int) -> Failure:
    cause = f"by signal {-code}" if code < 0 else f"with exit status {code}"
    if code:
        log.error("the training process of run %s ended %s", run_id, cause)
    return Failure(f"The training process ended {cause} before its run was finished. Its log is the trainer's.")


def _wait_after_end(process: subprocess.Popen[bytes], run_id: int) -> Failure:
    """Wait for a subprocess whose run is over: it ended the run itself and is about to exit, or others ended it."""
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        log.warning("training run %s has ended but its process has not: the process is killed", run_id)
    return Failure("It was over.")


def _is_stopped(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a signal stopped the process (SIGSTOP).

    Python before 3.13 has no `os.waitid` on macOS; there only the missing heartbeat shows it.
    """
    if not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # The process has just ended.
        return False
