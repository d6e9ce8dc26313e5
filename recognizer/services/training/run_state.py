"""State of a training run: claim the row, send heartbeats, record progress, end the run.

A run is claimed once. Only the holder of its token can write to the row, and only while the run is running. If a
trainer is suspended, its run is ended by others; when it resumes, every write fails, including the transaction that
promotes the version, and it stops.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from recognizer.models import RunState, Submission, TrainingRun
from recognizer.models.registry import new_run_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.db.models import QuerySet

log = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_SECONDS = 2.0
# Smallest interval between two writes of progress. The page polls once a second.
PROGRESS_INTERVAL_SECONDS = 0.7
# Start and end of each step on the progress bar, as shares of the run.
STEPS = {
    "loading": (0.0, 0.15),
    "training": (0.15, 0.75),
    "exporting": (0.75, 0.82),
    "evaluating": (0.82, 0.95),
    "promoting": (0.95, 1.0),
}
MAX_LOG_LINES = 500
# Key in the progress of a run that failed for a reason other than its data.
INTERRUPTED = "interrupted"


class LostRunError(RuntimeError):
    """The token no longer holds the run: the run has ended."""


class CancelledRunError(RuntimeError):
    """Cancellation of the run was requested."""


def claim(run_id: int) -> str | None:
    """Claim a queued run. Return its token, or None if the run is not queued."""
    token, now = new_run_token(), timezone.now()
    claimed = TrainingRun.objects.filter(pk=run_id, state=RunState.QUEUED).update(
        state=RunState.RUNNING,
        token=token,
        started=now,
        heartbeat=now,
        labels=Submission.objects.trainable().count(),
        progress={"step": "loading", "share": 0.0},
    )
    return token if claimed else None


def heartbeat(run_id: int, token: str) -> datetime | None:
    """Return the time of the last heartbeat, or None if `token` no longer holds the run."""
    return _held_runs(run_id, token).values_list("heartbeat", flat=True).first()


def missed_heartbeat_reason(seconds: float) -> str:
    """Return the reason for ending a run whose trainer sent no heartbeat for that long."""
    return f"The trainer was not heard of for {seconds:.0f} seconds: it was killed or frozen."


def end(run_id: int, token: str, state: RunState, *reasons: str, is_interruption: bool = False) -> bool:
    """End a run if `token` still holds it.

    Args:
        run_id: primary key of the run.
        token: token of the run.
        state: final state.
        *reasons: reasons for that state, in sentences.
        is_interruption: whether the run failed for a reason other than its data and is to be retried
            (`scheduling.run_maintenance`).

    Returns:
        Whether the run was ended.
    """
    running = _held_runs(run_id, token)
    columns: dict[str, object] = {"state": state, "finished": timezone.now(), "reasons": list(reasons)}
    progress = running.values_list("progress", flat=True).first()
    if is_interruption and progress is not None:
        columns["progress"] = progress | {INTERRUPTED: True}
    ended = running.update(**columns)
    if ended:
        log.info("training run %s: %s %s", run_id, state, " ".join(reasons))
    return bool(ended)


class Recorder:
    """Records the progress of a run in its row, and detects that the run has to stop."""

    def __init__(self, run_id: int, token: str) -> None:
        self.run_id, self.token = run_id, token
        self._progress: dict[str, object] = {}
        self._lines: list[list[str]] = list(self._row().values_list("log", flat=True).first() or [])
        self._written_at = 0.0
        self._stop_error: type[Exception] | None = None

    def report(self, step: str, done: float, *lines: str, **details: object) -> None:
        """Record the progress. Without news for the reader it is written at intervals only.

        Args:
            step: one of `STEPS`.
            done: completed share of the step, 0..1.
            *lines: lines for the log of the run.
            **details: shown with the progress: the part of the step (`doing`), epoch, loss and so on. The learning
                curves (`history`) are kept until the end of the run.

        Raises:
            LostRunError: the token no longer holds the run.
            CancelledRunError: cancellation was requested.
        """
        if self._stop_error is not None:
            raise self._stop_error
        low, high = STEPS[step]
        history = {key: value for key, value in self._progress.items() if key == "history"}
        progress = {"step": step, "share": round(low + (high - low) * done, 4), **history, **details}
        is_news = bool(lines) or any(
            progress.get(key) != self._progress.get(key) for key in ("step", "doing", "history")
        )
        self._progress = progress
        for line in lines:
            log.info("training run %s: %s", self.run_id, line)
            self._lines.append([timezone.now().isoformat(timespec="seconds"), line])
        if not is_news and time.monotonic() - self._written_at < PROGRESS_INTERVAL_SECONDS:
            return
        columns = {"log": self._lines[-MAX_LOG_LINES:]} if lines else {}
        if not self._row().update(heartbeat=timezone.now(), progress=progress, **columns):
            self._stop_error = LostRunError
            raise LostRunError
        self._written_at = time.monotonic()

    @contextmanager
    def commit_result(self) -> Iterator[TrainingRun]:
        """Open a transaction that locks the row of the run until the commit.

        Raises:
            LostRunError: the token no longer holds the run; nothing was written.
        """
        with transaction.atomic():
            run = self._row().select_for_update().first()
            # SQLite has no row locks; there the transaction locks the file from its beginning (IMMEDIATE).
            if run is None:
                raise LostRunError
            yield run

    def send_heartbeat(self) -> None:
        """Send a heartbeat, and check whether the run is still held and not cancelled."""
        try:
            if not self._row().update(heartbeat=timezone.now()):
                self._stop_error = LostRunError
            elif self._row().filter(cancel_requested=True).exists():
                self._stop_error = CancelledRunError
        except DatabaseError as error:
            log.warning("training run %s could not send a heartbeat: %s", self.run_id, error)

    def _row(self) -> QuerySet[TrainingRun]:
        return _held_runs(self.run_id, self.token)


@contextmanager
def recording(run_id: int, token: str) -> Iterator[Recorder]:
    """Record a run while the block runs.

    A thread sends heartbeats, so that they continue during the import of TensorFlow and long evaluations. If the
    process is suspended, they stop too.
    """
    recorder, is_finished = Recorder(run_id, token), threading.Event()

    def send_heartbeats() -> None:
        while not is_finished.wait(HEARTBEAT_INTERVAL_SECONDS):
            recorder.send_heartbeat()
        connection.close()  # The connection of this thread.

    thread = threading.Thread(target=send_heartbeats, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        is_finished.set()
        thread.join()


def _held_runs(run_id: int, token: str) -> QuerySet[TrainingRun]:
    """Return the run if the token holds it; every write goes through this condition."""
    return TrainingRun.objects.filter(pk=run_id, token=token, state=RunState.RUNNING)
