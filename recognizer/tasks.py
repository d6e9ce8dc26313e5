"""Celery's doors: what workers run. A few lines each; the rules live in recognizer/services.

Every worker imports this file, so each task imports what it alone needs.
"""

from celery import Task, shared_task
from celery.worker import state

from recognizer.services import sweeper


@shared_task(bind=True, name="recognizer.tasks.serve_shift")
def serve_shift(self: Task, token: str) -> None:
    """Queue `predictions`. Acknowledged early: a message lost with its worker costs a lease, no more."""
    from recognizer.services import shifts

    shifts.serve(token, worker=self.request.hostname, should_stop=_worker_is_stopping)


@shared_task(name="recognizer.tasks.sweep", acks_late=True, reject_on_worker_lost=True)
def sweep() -> None:
    """Queue `default`, every `SWEEP_SECONDS`."""
    sweeper.sweep()


@shared_task(name="recognizer.tasks.tend", acks_late=True, reject_on_worker_lost=True)
def tend() -> None:
    """Queue `default`, every `SWEEP_SECONDS`: training runs, files of old versions, answers of replaced ones."""
    from recognizer.services import deployments, repredictions, retraining

    retraining.tend()
    deployments.prune()
    repredictions.tend()


@shared_task(name="recognizer.tasks.sweep_pictures", acks_late=True, reject_on_worker_lost=True)
def sweep_pictures() -> None:
    """Queue `default`, hourly: what is older than it may be, files that nothing names, rows of use for a day."""
    from recognizer.services import idempotency, orphans, quotas, retention

    retention.enforce()
    orphans.sweep()
    idempotency.sweep()
    quotas.forget_old_days()


@shared_task(name="recognizer.tasks.canary")
def canary(queue: str) -> None:
    """Queues `default` and `train`, every `CANARY_SECONDS`. One that is lost is followed by the next."""
    from recognizer.services import canaries

    canaries.sing(queue)


@shared_task(name="recognizer.tasks.train")
def train(run_id: int) -> None:
    """Queue `train`. Acknowledged early: the run's row says what became of it, and nothing is trained twice."""
    from recognizer.services.retraining import trainer

    trainer.train(run_id, should_stop=_worker_is_stopping)


def _worker_is_stopping() -> bool:
    # Unset, these are None or False; set, they hold an exit code, which may be 0.
    return not all(flag is None or flag is False for flag in (state.should_stop, state.should_terminate))
