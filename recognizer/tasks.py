"""Celery tasks: thin wrappers around `recognizer.services`.

Every worker imports this module, so tasks import their dependencies inside the function.
"""

from celery import shared_task

from recognizer.services.inference import producer, recovery


@shared_task(name="recognizer.tasks.predict_submissions")
def predict_submissions(ids: list[int], mode: str) -> None:
    """Predict submissions that no request waits for (queue `predictions`).

    Acknowledged early: if the message is lost with its worker, `sweep` finds the rows.

    Args:
        ids: Primary keys of submissions.
        mode: A `producer.Mode`.
    """
    from recognizer.services.inference import background
    from recognizer.services.ops import liveness

    liveness.record_probe(liveness.PREDICTIONS)  # a canary waits behind a long backlog
    background.predict_submissions(ids, producer.Mode(mode))


@shared_task(name="recognizer.tasks.serve_shift")
def serve_shift(token: str) -> None:
    """Enqueue submissions of a web process of an older release, which sent this message (deprecated)."""
    from recognizer.services.inference import background

    background.move_old_queue(token)


# --- Periodic jobs: one task each, so that the failure of one does not prevent the others -----------------------------


@shared_task(name="recognizer.tasks.sweep", acks_late=True, reject_on_worker_lost=True)
def sweep() -> None:
    """Have lost submissions predicted (queue `default`, every `RECOVERY_INTERVAL_SECONDS`)."""
    recovery.recover_submissions()


@shared_task(name="recognizer.tasks.tend_training_runs", acks_late=True, reject_on_worker_lost=True)
def tend_training_runs() -> None:
    """Start due runs and end runs whose trainer is gone (queue `default`, every `RECOVERY_INTERVAL_SECONDS`)."""
    from recognizer.services import training

    training.run_maintenance()


@shared_task(name="recognizer.tasks.prune_model_files", acks_late=True, reject_on_worker_lost=True)
def prune_model_files() -> None:
    """Delete the files of old model versions (queue `default`, every `RECOVERY_INTERVAL_SECONDS`)."""
    from recognizer.services.registry import deployments

    deployments.prune()


@shared_task(name="recognizer.tasks.predict_again", acks_late=True, reject_on_worker_lost=True)
def predict_again() -> None:
    """Have submissions of older model versions predicted again (queue `default`, as `sweep`)."""
    from recognizer.services.inference import backfill

    backfill.enqueue_remaining()


@shared_task(name="recognizer.tasks.enforce_retention", acks_late=True, reject_on_worker_lost=True)
def enforce_retention() -> None:
    """Delete submissions that are older than `RETENTION_DAYS` (queue `default`, hourly)."""
    from recognizer.services.submissions import retention

    retention.delete_expired_submissions()


@shared_task(name="recognizer.tasks.clear_sessions", acks_late=True, reject_on_worker_lost=True)
def clear_sessions() -> None:
    """Delete expired sessions (queue `default`, hourly)."""
    from recognizer.services.submissions import retention

    retention.clear_sessions()


@shared_task(name="recognizer.tasks.empty_write_ahead_log", acks_late=True, reject_on_worker_lost=True)
def empty_write_ahead_log() -> None:
    """Remove deleted rows from SQLite's write-ahead log (queue `default`, hourly)."""
    from recognizer.services.lib import fsync

    fsync.empty_write_ahead_log()


@shared_task(name="recognizer.tasks.sweep_orphans", acks_late=True, reject_on_worker_lost=True)
def sweep_orphans() -> None:
    """Delete image files that no submission references (queue `default`, hourly)."""
    from recognizer.services.images import orphaned_files

    orphaned_files.delete_orphans()


@shared_task(name="recognizer.tasks.sweep_idempotency_keys", acks_late=True, reject_on_worker_lost=True)
def sweep_idempotency_keys() -> None:
    """Delete expired idempotency keys (queue `default`, hourly)."""
    from recognizer.services.identity import idempotency

    idempotency.delete_expired()


@shared_task(name="recognizer.tasks.forget_usage", acks_late=True, reject_on_worker_lost=True)
def forget_usage() -> None:
    """Delete the usage counters of past days (queue `default`, hourly)."""
    from recognizer.services.identity import quotas

    quotas.delete_old_days()


@shared_task(name="recognizer.tasks.tend", acks_late=True, reject_on_worker_lost=True)
def tend() -> None:
    """Handle messages of release 0.9.0 that are still queued, or come from a host that still runs it (deprecated)."""
    for task in (tend_training_runs, prune_model_files, predict_again):
        task.delay()


@shared_task(name="recognizer.tasks.sweep_pictures", acks_late=True, reject_on_worker_lost=True)
def sweep_pictures() -> None:
    """Handle messages of release 0.9.0, as `tend` does (deprecated)."""
    for task in (enforce_retention, clear_sessions, sweep_orphans, sweep_idempotency_keys, forget_usage):
        task.delay()


@shared_task(name="recognizer.tasks.canary")
def canary(queue: str) -> None:
    """Record a liveness probe (every queue, every `LIVENESS_INTERVAL_SECONDS`)."""
    from recognizer.services.ops import liveness

    liveness.record_probe(queue)


@shared_task(name="recognizer.tasks.train")
def train(run_id: int) -> None:
    """Run a training (queue `train`).

    Acknowledged early, so that no run is executed twice; the run's row records the outcome.
    """
    from recognizer.services.training import subprocess_runner

    subprocess_runner.run_in_subprocess(run_id)
