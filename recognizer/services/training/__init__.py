"""Retraining: who asks for a run, what it learns from, how the trainer is watched, and how it ends.

    requests    ask for a run, cancel it; is one due by schedule or by labels; runs whose trainer is gone
    trainer     in the trainer's worker: starts the process that trains, and ends it
    learning    in that process: select, train, seal, gate, store, promote
    selection   which settled labels train, and which measure
    judging     the champion, the candidate and the frozen sets before the gate
    runs        the run's row: claimed once, written to only by whoever holds its token

A run reads and writes nothing but the database, so a killed one leaves nothing behind. Only `learning` and what it
calls need NumPy and TensorFlow; nothing here imports them for pages and workers.
"""

from .scheduling import (
    AlreadyRunningError,
    CannotTrainError,
    NoTrainerError,
    active_run,
    cancel,
    expire_stale,
    labels_until_next,
    request_run,
    run_maintenance,
)

__all__ = [
    "AlreadyRunningError",
    "CannotTrainError",
    "NoTrainerError",
    "active_run",
    "cancel",
    "expire_stale",
    "labels_until_next",
    "request_run",
    "run_maintenance",
]
