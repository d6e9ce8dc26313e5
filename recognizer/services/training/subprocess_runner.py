"""In the trainer's worker: start the process that trains, watch it, and see to it that its run ends with it.

A process of its own takes TensorFlow and its 600 MB away with it, can be stopped whatever it is doing, and gets its
priority and its threads before anything is loaded.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from recognizer.models import RunState
from recognizer.services.lib.clocks import AwakeClock, HeartbeatMonitor

from . import run_state

log = logging.getLogger(__name__)

# Told to the process in its environment, where other accounts of the machine cannot read it.
TOKEN_VARIABLE = "TRAINING_RUN_TOKEN"  # noqa: S105 - the name of it
POLL_SECONDS = 0.5
# More between two looks: this process was suspended, and most likely the training with it.
MAX_GAP_SECONDS = 4 * POLL_SECONDS
# At a process that a signal stopped: by the second look one that goes on with its whole group goes on.
MIN_SILENT_POLLS = 2
STOP_TIMEOUT_SECONDS = 5


def run_in_subprocess(run_id: int, *, should_stop: Callable[[], bool]) -> None:
    """Train, if nobody took the run yet.

    Args:
        run_id: of a queued run.
        should_stop: asked twice a second; when true, the worker is stopping and the run fails.
    """
    token = run_state.claim(run_id)
    if token is None:
        log.info("training run %s is not waiting any more", run_id)
        return
    process = _start(run_id, token)
    try:
        failure = _watch(process, run_id, token, should_stop)
    finally:
        _end(process)
    run_state.end(run_id, token, RunState.FAILED, failure.reason, is_interruption=failure.is_interruption)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed whose process did not end it; `is_interruption`: its data had no part in it."""

    reason: str
    is_interruption: bool = True


def _start(run_id: int, token: str) -> subprocess.Popen:
    threads = str(settings.TRAINING_THREADS)
    limits = {
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # Two threads of this process allocate; more arenas would only hold memory back.
        "MALLOC_ARENA_MAX": "2",
    }
    # In the worker's process group, so whoever kills the group takes it along; and it watches its standard input,
    # which ends when this process does, however it does.
    return subprocess.Popen(
        [sys.executable, "manage.py", "run_training", str(run_id)],
        cwd=settings.BASE_DIR,
        env=os.environ | limits | {TOKEN_VARIABLE: token},
        stdin=subprocess.PIPE,
    )


def _watch(process: subprocess.Popen, run_id: int, token: str, should_stop: Callable[[], bool]) -> Failure:
    """Wait for the process, and return why the run failed, should it not have ended by itself.

    Its heartbeat is watched as well: a process that is frozen while it holds the lock of an SQLite file keeps others
    from writing, and so from declaring its run dead. Where it was stopped by a signal, two looks are enough.
    """
    clock, heartbeats, stopped = AwakeClock(), HeartbeatMonitor(), 0
    while True:
        try:
            code = process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        else:
            how = f"by signal {-code}" if code < 0 else f"with exit status {code}"
            if code:
                log.error("the training process of run %s ended %s", run_id, how)
            return Failure(f"The training process ended {how} before its run was finished. Its log is the trainer's.")
        if should_stop():
            return Failure("The trainer was stopped.")
        if clock.now(MAX_GAP_SECONDS) > settings.RETRAIN_TIME_LIMIT:
            limit = f"It took longer than {settings.RETRAIN_TIME_LIMIT:.0f} seconds (RETRAIN_TIME_LIMIT)."
            return Failure(limit, is_interruption=False)
        beat = run_state.heartbeat(run_id, token)
        if beat is None:
            # Over, by itself (then it is about to exit) or because somebody declared it dead.
            try:
                process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                log.warning("training run %s is over and its process is not; it is killed", run_id)
            return Failure("It was over.")
        if heartbeats.unchanged_seconds(beat, max_gap=MAX_GAP_SECONDS) > settings.TRAINER_SILENCE_SECONDS:
            return Failure(run_state.silent_for(settings.TRAINER_SILENCE_SECONDS))
        stopped = stopped + 1 if _is_stopped(process) else 0
        if stopped == MIN_SILENT_POLLS:
            return Failure("The training process was stopped by a signal, and may keep others from writing.")


def _is_stopped(process: subprocess.Popen) -> bool:
    """Whether a signal stopped it (SIGSTOP). Before 3.13 Python cannot tell on macOS; there its silence does."""
    if not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # it has just ended
        return False


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()  # it holds nothing that needs tidying, and a frozen one hears nothing else
    process.wait()
    process.stdin.close()
