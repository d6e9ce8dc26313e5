"""The row of a training run: claimed once, and written to only by whoever holds its token while it is running.

A trainer that was frozen, declared dead and wakes up again finds its run ended: every write fails, the promoting
transaction included, and it stops.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from recognizer.models import RunState, TrainingRun
from recognizer.models.registry import new_run_token

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0
# A training speaks several times a second; the page looks once a second.
PROGRESS_SECONDS = 0.7
# How much of a run each step takes, for the bar; training by far the most.
STEPS = {
    "loading": (0.0, 0.15),
    "training": (0.15, 0.75),
    "exporting": (0.75, 0.82),
    "evaluating": (0.82, 0.95),
    "promoting": (0.95, 1.0),
}
LOG_LINES = 500
# Set in the progress of a run that failed for no fault of its data.
INTERRUPTED = "interrupted"


class LostRunError(RuntimeError):
    """The run is not ours any more: it was cancelled, declared dead, or another trainer has it."""


class CancelledRunError(RuntimeError):
    """Somebody asked for the run to be cancelled."""


def claim(run_id: int) -> str | None:
    """Take a queued run. Returns its token, or None when it is not waiting (any more)."""
    token, now = new_run_token(), timezone.now()
    claimed = TrainingRun.objects.filter(pk=run_id, state=RunState.QUEUED).update(
        state=RunState.RUNNING, token=token, started=now, heartbeat=now, progress={"step": "loading", "share": 0.0}
    )
    return token if claimed else None


def heartbeat(run_id: int, token: str) -> datetime | None:
    """When the run was last heard of; None when `token` does not hold it any more."""
    running = TrainingRun.objects.filter(pk=run_id, token=token, state=RunState.RUNNING)
    return running.values_list("heartbeat", flat=True).first()


def silent_for(seconds: float) -> str:
    """Why a run is over whose trainer was not heard of for so long."""
    return f"The trainer was not heard of for {seconds:.0f} seconds: it was killed or frozen."


def end(run_id: int, token: str, state: RunState, *reasons: str, is_interruption: bool = False) -> bool:
    """End a run that `token` still holds. Returns whether it did.

    Args:
        is_interruption: it failed for no fault of its data and is to be tried again (`requests.tend`).
    """
    held = TrainingRun.objects.filter(pk=run_id, token=token, state=RunState.RUNNING)
    columns: dict[str, object] = {"state": state, "finished": timezone.now(), "reasons": list(reasons)}
    progress = held.values_list("progress", flat=True).first()
    if is_interruption and progress is not None:
        columns["progress"] = progress | {INTERRUPTED: True}
    ended = held.update(**columns)
    if ended:
        log.info("training run %s: %s %s", run_id, state, " ".join(reasons))
    return bool(ended)


class Recorder:
    """Writes what a run does into its row, and finds out that it should stop.

    A thread of its own sends heartbeats and reads whether the run is still ours and wanted, so that neither the
    import of TensorFlow nor a long evaluation looks like death. A stopped process has no threads either.
    """

    def __init__(self, run_id: int, token: str) -> None:
        self.run_id, self.token = run_id, token
        self._progress: dict[str, object] = {}
        self._lines: list[list[str]] = list(self._row().values_list("log", flat=True).first() or [])
        self._wrote = 0.0
        self._lost = threading.Event()
        self._cancelled = threading.Event()
        self._done = threading.Event()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Heartbeats for as long as the block runs."""
        thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    @property
    def should_stop(self) -> bool:
        return self._lost.is_set() or self._cancelled.is_set()

    def check(self) -> None:
        """
        Raises:
            LostRunError, CancelledRunError: it must not go on.
        """
        if self._lost.is_set():
            raise LostRunError
        if self._cancelled.is_set():
            raise CancelledRunError

    def step(self, name: str, *lines: str) -> None:
        """A new step begins."""
        self.check()
        kept = {key: value for key, value in self._progress.items() if key == "history"}
        self._progress = {"step": name, "share": STEPS[name][0]} | kept
        self.say(*lines)

    def say(self, *lines: str) -> None:
        """Lines for the run's log."""
        for line in lines:
            log.info("training run %s: %s", self.run_id, line)
            self._lines.append([timezone.now().isoformat(timespec="seconds"), line])
        self._write(log=self._lines[-LOG_LINES:], progress=self._progress)

    def stage(self, what: str, done: float) -> None:
        """Within the present step something begins that takes a while; `done`, 0..1, of the step is over."""
        self.check()
        self._progress |= {"doing": what, "share": self._share(done)}
        self._write(progress=self._progress)

    def progress(self, done: float, **figures: object) -> None:
        """How far the present step is, 0..1, with figures. Written now and then."""
        self._progress |= figures | {"share": self._share(done)}
        if time.monotonic() - self._wrote >= PROGRESS_SECONDS:
            self._write(progress=self._progress)

    def _share(self, done: float) -> float:
        low, high = STEPS[str(self._progress["step"])]
        return round(low + (high - low) * done, 4)

    def history(self, so_far: dict[str, list[float]]) -> None:
        """What was measured after each epoch; the page draws its curves from it."""
        self._progress["history"] = so_far
        self._write(progress=self._progress)

    def note(self, **columns: object) -> None:
        """Write columns of the row, as long as the run is ours."""
        self._write(**columns)

    @contextmanager
    def finishing(self) -> Iterator[TrainingRun]:
        """One transaction that begins with proof that the run is ours and holds its row until the commit.

        Raises:
            LostRunError: it is not; nothing was written.
        """
        with transaction.atomic():
            run = self._row().select_for_update().first()
            # On SQLite, which locks no rows, the transaction holds the whole file from its beginning (IMMEDIATE).
            if run is None:
                raise LostRunError
            yield run

    def _row(self) -> QuerySet[TrainingRun]:
        return TrainingRun.objects.filter(pk=self.run_id, token=self.token, state=RunState.RUNNING)

    def _write(self, **columns: object) -> None:
        if not self._row().update(heartbeat=timezone.now(), **columns):
            self._lost.set()
            raise LostRunError
        self._wrote = time.monotonic()

    def _beat(self) -> None:
        try:
            while not self._done.wait(HEARTBEAT_SECONDS):
                self._beat_once()
        finally:
            connection.close()  # this thread's own

    def _beat_once(self) -> None:
        try:
            if not self._row().update(heartbeat=timezone.now()):
                self._lost.set()
            elif self._row().filter(cancel_requested=True).exists():
                self._cancelled.set()
        except DatabaseError as error:
            log.warning("training run %s could not say that it lives: %s", self.run_id, error)
