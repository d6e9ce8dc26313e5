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

from recognizer.models import RunState, TrainingRun
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
        state=RunState.RUNNING, token=token, started=now, heartbeat=now, progress={"step": "loading", "share": 0.0}
    )
    return token if claimed else None


def heartbeat(run_id: int, token: str) -> datetime | None:
    """Return the time of the last heartbeat, or None if `token` no longer holds the run."""
    running = TrainingRun.objects.filter(pk=run_id, token=token, state=RunState.RUNNING)
    return running.values_list("heartbeat", flat=True).first()


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
    running = TrainingRun.objects.filter(pk=run_id, token=token, state=RunState.RUNNING)
    columns: dict[str, object] = {"state": state, "finished": timezone.now(), "reasons": list(reasons)}
    progress = running.values_list("progress", flat=True).first()
    if is_interruption and progress is not None:
        columns["progress"] = progress | {INTERRUPTED: True}
    ended = running.update(**columns)
    if ended:
        log.info("training run %s: %s %s", run_id, state, " ".join(reasons))
    return bool(ended)


class Recorder:
    """Records the progress of a run in its row, and detects that the run has to stop.

    A thread sends heartbeats and checks whether the run is still held and not cancelled, so that heartbeats continue
    during the import of TensorFlow and long evaluations. If the process is suspended, the heartbeats stop too.
    """

    def __init__(self, run_id: int, token: str) -> None:
        self.run_id, self.token = run_id, token
        self._progress: dict[str, object] = {}
        self._lines: list[list[str]] = list(self._row().values_list("log", flat=True).first() or [])
        self._written_at = 0.0
        self._is_lost = threading.Event()
        self._is_cancelled = threading.Event()
        self._is_finished = threading.Event()

    @contextmanager
    def heartbeats(self) -> Iterator[None]:
        """Send heartbeats while the block runs."""
        thread = threading.Thread(target=self._send_heartbeats, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_finished.set()
            thread.join()

    @property
    def should_stop(self) -> bool:
        """True if the run was lost or cancelled."""
        return self._is_lost.is_set() or self._is_cancelled.is_set()

    def raise_if_stopped(self) -> None:
        """Raise an exception if the run has to stop.

        Raises:
            LostRunError: the token no longer holds the run.
            CancelledRunError: cancellation was requested.
        """
        if self._is_lost.is_set():
            raise LostRunError
        if self._is_cancelled.is_set():
            raise CancelledRunError

    def start_step(self, name: str, *lines: str) -> None:
        """Start a new step of `STEPS` and log the lines."""
        self.raise_if_stopped()
        history = {key: value for key, value in self._progress.items() if key == "history"}
        self._progress = {"step": name, "share": STEPS[name][0]} | history
        self.log(*lines)

    def log(self, *lines: str) -> None:
        """Append lines to the log of the run."""
        for line in lines:
            log.info("training run %s: %s", self.run_id, line)
            self._lines.append([timezone.now().isoformat(timespec="seconds"), line])
        self.update(log=self._lines[-MAX_LOG_LINES:], progress=self._progress)

    def set_stage(self, name: str, done: float) -> None:
        """Record a stage of the current step, of which the share `done` (0..1) is completed."""
        self.raise_if_stopped()
        self._progress |= {"doing": name, "share": self._share(done)}
        self.update(progress=self._progress)

    def set_progress(self, done: float, **details: object) -> None:
        """Record the completed share (0..1) of the current step, with details. It is written at intervals only."""
        self._progress |= details | {"share": self._share(done)}
        if time.monotonic() - self._written_at >= PROGRESS_INTERVAL_SECONDS:
            self.update(progress=self._progress)

    def _share(self, done: float) -> float:
        low, high = STEPS[str(self._progress["step"])]
        return round(low + (high - low) * done, 4)

    def set_history(self, history: dict[str, list[float]]) -> None:
        """Record the metrics of each epoch so far; the page plots them."""
        self._progress["history"] = history
        self.update(progress=self._progress)

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

    def _row(self) -> QuerySet[TrainingRun]:
        return TrainingRun.objects.filter(pk=self.run_id, token=self.token, state=RunState.RUNNING)

    def update(self, **columns: object) -> None:
        """Write columns of the row.

        Raises:
            LostRunError: the token no longer holds the run.
        """
        if not self._row().update(heartbeat=timezone.now(), **columns):
            self._is_lost.set()
            raise LostRunError
        self._written_at = time.monotonic()

    def _send_heartbeats(self) -> None:
        try:
            while not self._is_finished.wait(HEARTBEAT_INTERVAL_SECONDS):
                self._send_heartbeat()
        finally:
            connection.close()  # The connection of this thread.

    def _send_heartbeat(self) -> None:
        try:
            if not self._row().update(heartbeat=timezone.now()):
                self._is_lost.set()
            elif self._row().filter(cancel_requested=True).exists():
                self._is_cancelled.set()
        except DatabaseError as error:
            log.warning("training run %s could not send a heartbeat: %s", self.run_id, error)
