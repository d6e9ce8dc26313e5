"""Training of model versions from the site's labels.

    scheduling         request and cancel runs, start runs that are due, end runs whose trainer is gone
    subprocess_runner  in the trainer's worker: start and monitor the training process
    pipeline           in the training process: select labels, train, compare, store, promote
    dataset            training data and holdout set from settled labels
    run_state          the row of a run: claim, heartbeats, progress, end
    presenters         view models for pages and the API

A run reads and writes only the database, so a killed run leaves no files behind. Only `pipeline` and the modules that
it imports need NumPy and TensorFlow; this package does not import them, so pages and workers do not load them.
"""

from .scheduling import (
    AlreadyRunningError,
    CannotTrainError,
    NoTrainerError,
    active_run,
    cancel,
    expire_stale,
    labels_until_next,
    queue_run,
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
    "queue_run",
    "request_run",
    "run_maintenance",
]
