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


def _worker_is_stopping() -> bool:
    # Unset, these are None or False; set, they hold an exit code, which may be 0.
    return not all(flag is None or flag is False for flag in (state.should_stop, state.should_terminate))
