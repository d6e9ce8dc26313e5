"""Celery's doors: what workers run. A few lines each; the rules live in recognizer/services.

Every worker imports this file, so each task imports what it alone needs.
"""

from celery import Task, shared_task
from celery.worker import state

from recognizer.services.inference import recovery


@shared_task(bind=True, name="recognizer.tasks.serve_shift")
def serve_shift(self: Task, token: str) -> None:
    """Queue `predictions`. Acknowledged early: a message lost with its worker costs a lease, no more."""
    from recognizer.services.inference import shifts

    shifts.serve(token, worker=self.request.hostname, should_stop=_worker_is_stopping)


@shared_task(name="recognizer.tasks.sweep", acks_late=True, reject_on_worker_lost=True)
def sweep() -> None:
    """Queue `default`, every `SWEEP_SECONDS`."""
    recovery.requeue_lost()


# --- Periodic jobs: one task each, so that the failure of one hides no other ----------------------------------------


@shared_task(name="recognizer.tasks.tend_training_runs", acks_late=True, reject_on_worker_lost=True)
def tend_training_runs() -> None:
    """Queue `default`, every `SWEEP_SECONDS`: start runs that are due, end those whose trainer is gone."""
    from recognizer.services import training

    training.run_maintenance()


@shared_task(name="recognizer.tasks.prune_model_files", acks_late=True, reject_on_worker_lost=True)
def prune_model_files() -> None:
    """Queue `default`, every `SWEEP_SECONDS`: delete the files of old model versions."""
    from recognizer.services.registry import deployments

    deployments.prune()


@shared_task(name="recognizer.tasks.predict_again", acks_late=True, reject_on_worker_lost=True)
def predict_again() -> None:
    """Queue `default`, every `SWEEP_SECONDS`: replace predictions of versions that are not live any more."""
    from recognizer.services.inference import backfill

    backfill.run_backfill()


@shared_task(name="recognizer.tasks.enforce_retention", acks_late=True, reject_on_worker_lost=True)
def enforce_retention() -> None:
    """Queue `default`, hourly: delete submissions that are older than `RETENTION_DAYS`."""
    from recognizer.services.submissions import retention

    retention.delete_expired_submissions()


@shared_task(name="recognizer.tasks.clear_sessions", acks_late=True, reject_on_worker_lost=True)
def clear_sessions() -> None:
    """Queue `default`, hourly: delete expired sessions."""
    from recognizer.services.submissions import retention

    retention.clear_sessions()


@shared_task(name="recognizer.tasks.empty_write_ahead_log", acks_late=True, reject_on_worker_lost=True)
def empty_write_ahead_log() -> None:
    """Queue `default`, hourly: remove deleted rows from SQLite's log."""
    from recognizer.services.lib import fsync

    fsync.empty_write_ahead_log()


@shared_task(name="recognizer.tasks.sweep_orphans", acks_late=True, reject_on_worker_lost=True)
def sweep_orphans() -> None:
    """Queue `default`, hourly: delete picture files that no submission names."""
    from recognizer.services.images import orphaned_files

    orphaned_files.delete_orphans()


@shared_task(name="recognizer.tasks.sweep_idempotency_keys", acks_late=True, reject_on_worker_lost=True)
def sweep_idempotency_keys() -> None:
    """Queue `default`, hourly: delete expired idempotency keys."""
    from recognizer.services.identity import idempotency

    idempotency.delete_expired()


@shared_task(name="recognizer.tasks.forget_usage", acks_late=True, reject_on_worker_lost=True)
def forget_usage() -> None:
    """Queue `default`, hourly: delete the usage counters of past days."""
    from recognizer.services.identity import quotas

    quotas.delete_old_days()


@shared_task(name="recognizer.tasks.tend", acks_late=True, reject_on_worker_lost=True)
def tend() -> None:
    """Deprecated: messages of release 0.9.0 that are still queued, or come from a host that still runs it."""
    for task in (tend_training_runs, prune_model_files, predict_again):
        task.delay()


@shared_task(name="recognizer.tasks.sweep_pictures", acks_late=True, reject_on_worker_lost=True)
def sweep_pictures() -> None:
    """Deprecated, as `tend`."""
    for task in (enforce_retention, clear_sessions, sweep_orphans, sweep_idempotency_keys, forget_usage):
        task.delay()


@shared_task(name="recognizer.tasks.canary")
def canary(queue: str) -> None:
    """Queues `default` and `train`, every `CANARY_SECONDS`. One that is lost is followed by the next."""
    from recognizer.services.ops import liveness

    liveness.record_probe(queue)


@shared_task(name="recognizer.tasks.train")
def train(run_id: int) -> None:
    """Queue `train`. Acknowledged early: the run's row says what became of it, and nothing is trained twice."""
    from recognizer.services.training import subprocess_runner

    subprocess_runner.run_in_subprocess(run_id, should_stop=_worker_is_stopping)


def _worker_is_stopping() -> bool:
    # Unset, these are None or False; set, they hold an exit code, which may be 0.
    return not all(flag is None or flag is False for flag in (state.should_stop, state.should_terminate))
