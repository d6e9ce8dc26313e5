"""Scheduling of training runs: requests, cancellation, and periodic maintenance.

Periodic work checks in the database whether a run is due, so a laptop that was suspended catches up, and two schedulers
do no harm.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from celery import current_app
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis import RedisError

from recognizer.models import Deployment, RunState, Submission, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services.identity import permissions
from recognizer.services.identity.throttling import Kind, limit_rate
from recognizer.services.lib.clocks import HeartbeatMonitor
from recognizer.services.registry import versions

from . import run_state

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from recognizer.services.identity.actors import Actor

log = logging.getLogger(__name__)

TRAIN_TASK = "recognizer.tasks.train"
# The task message to the trainer may get lost. For a queued run it is sent again, at increasing intervals.
RESEND_SECONDS = 15
# Minimum number of checks before a run is expired: a single check after this process was suspended proves nothing.
MIN_CHECKS = 3
# Delay before a run is retried that failed for a reason other than its data; it grows with each further failure.
RETRY_SECONDS, RETRY_FACTOR, MAX_RETRY_SECONDS = 60, 4, 24 * 3600
# Further consecutive failures are not counted: the delay has reached its maximum.
MAX_FAILURES = 8
# Largest expected difference between the clocks of several hosts.
CLOCK_TOLERANCE = timedelta(minutes=1)
RECIPES = ("site", "site-from-scratch")
NO_TRAINER = "This site was started without a trainer (TRAINER=0), so it does not train. Start it with TRAINER=1."
SHIPPED = "shipped"

_heartbeats = HeartbeatMonitor()


class CannotTrainError(RuntimeError):
    """No run can be started now; the message says why."""


class NoTrainerError(CannotTrainError):
    """The site was started without a trainer."""

    def __init__(self) -> None:
        super().__init__(NO_TRAINER)


class AlreadyRunningError(CannotTrainError):
    """Another run is queued or running, see `run`."""

    def __init__(self, run: TrainingRun) -> None:
        super().__init__(f"Training run {run.pk} is going on already ({run.get_state_display().lower()}).")
        self.run = run


def active_run() -> TrainingRun | None:
    """Return the queued or running run, after expiring stale ones."""
    expire_stale()
    return TrainingRun.objects.filter(state__in=ACTIVE_RUN_STATES).first()


@limit_rate(Kind.CHANGE)
def request_run(*, actor: Actor, recipe: str = "site", seed: int = 1) -> TrainingRun:
    """Request a training run on behalf of an operator; see `queue_run`.

    Raises:
        NotAllowedError: the actor is not an operator.
    """
    permissions.require_operator(actor)
    return queue_run(trigger=TrainingRun.Trigger.PERSON, user=actor.user, recipe=recipe, seed=seed)


def queue_run(
    *, trigger: TrainingRun.Trigger, user: User | None = None, recipe: str = "site", seed: int = 1
) -> TrainingRun:
    """Queue a training run.

    Args:
        trigger: why the run is started.
        user: the account that requested it.
        recipe: "site" continues from the live model, "site-from-scratch" does not, "shipped" trains nothing and
            evaluates the base model of an upgrade.
        seed: seed of the training. A run with the same labels, recipe and seed as the last one ends as unchanged.

    Raises:
        ValueError: the recipe does not exist.
        NoTrainerError: the site has no trainer.
        AlreadyRunningError: another run is queued or running.
    """
    if recipe not in (*RECIPES, SHIPPED):
        raise ValueError(f"There is no recipe {recipe!r}. Use one of: {', '.join(RECIPES)}.")
    if not settings.TRAINER:
        raise NoTrainerError
    expire_stale()
    try:
        with transaction.atomic():
            run = TrainingRun.objects.create(
                trigger=trigger,
                requested_by=user,
                recipe={"name": recipe, "seed": seed},
                labels=Submission.objects.trainable().count(),
                progress={"step": "waiting", "share": 0.0},
            )
            transaction.on_commit(lambda: _send_task(run))
    except IntegrityError:
        running = TrainingRun.objects.filter(state__in=ACTIVE_RUN_STATES).first()
        if running is None:  # It has just ended.
            return queue_run(trigger=trigger, user=user, recipe=recipe, seed=seed)
        raise AlreadyRunningError(running) from None
    log.info("training run %s was requested (%s, %s)", run.pk, trigger, recipe)
    return run


@limit_rate(Kind.CHANGE)
def cancel(*, actor: Actor, run: TrainingRun) -> bool:
    """Cancel a run: a queued run is ended immediately, a running one is requested to stop.

    Returns:
        False if the run had already ended.

    Raises:
        NotAllowedError: the actor is not an operator.
    """
    permissions.require_operator(actor)
    reason = f"Cancelled by {actor.user.get_username() if actor.user else 'a command'}."
    queued = TrainingRun.objects.filter(pk=run.pk, state=RunState.QUEUED)
    if queued.update(state=RunState.CANCELLED, finished=timezone.now(), cancel_requested=True, reasons=[reason]):
        return True
    return bool(TrainingRun.objects.filter(pk=run.pk, state=RunState.RUNNING).update(cancel_requested=True))


def expire_stale() -> int:
    """End a run whose heartbeat has stopped. Later writes by its trainer fail.

    The wall clock is not used: it would end every run after a laptop was suspended, and no run for hours after the
    clock was set back. Instead, this process must have seen the same heartbeat several times.

    Returns:
        Number of ended runs, 0 or 1.
    """
    running = TrainingRun.objects.filter(state=RunState.RUNNING).values("pk", "token", "heartbeat").first()
    silence = settings.TRAINER_SILENCE_SECONDS
    if _heartbeats.unchanged_seconds(running, max_gap=silence / MIN_CHECKS) < silence or running is None:
        return 0
    run = TrainingRun.objects.get(pk=running["pk"])
    expired = TrainingRun.objects.filter(state=RunState.RUNNING, **running).update(
        state=RunState.FAILED,
        finished=timezone.now(),
        reasons=[run_state.missed_heartbeat_reason(silence)],
        progress=run.progress | {run_state.INTERRUPTED: True},
    )
    if expired:
        log.warning("training run %s was ended: its trainer sends no heartbeat", run.pk)
    return expired


def labels_until_next() -> int | None:
    """Return the number of missing labels before the next automatic run; None if labels do not start runs."""
    if not settings.RETRAIN_AFTER_LABELS:
        return None
    runs = TrainingRun.objects.exclude(recipe__name=SHIPPED).order_by("-id")  # those that used labels
    used = runs.values_list("labels", flat=True).first() or 0
    return max(0, settings.RETRAIN_AFTER_LABELS - (Submission.objects.trainable().count() - used))


def next_scheduled() -> datetime | None:
    """Return the time of the next scheduled run; None if there is no schedule."""
    if not settings.RETRAIN_SCHEDULE:
        return None
    last = TrainingRun.objects.order_by("-id").values_list("created", flat=True).first()
    since = last or Deployment.objects.order_by("sequence").values_list("created", flat=True).first()
    return since + timedelta(hours=settings.RETRAIN_SCHEDULE) if since else None


def next_retry() -> datetime | None:
    """Return when the latest run is retried; None if it did not fail, or failed because of its data."""
    failed, delay = _retry()
    return failed.finished + delay if failed is not None and failed.finished is not None else None


def _retry() -> tuple[TrainingRun | None, timedelta]:
    """Return the latest run if it is to be retried, and the delay between its end and its retry."""
    failed = list(takewhile(is_retried, TrainingRun.objects.defer("log")[:MAX_FAILURES]))
    delay = timedelta(seconds=min(RETRY_SECONDS * RETRY_FACTOR ** max(0, len(failed) - 1), MAX_RETRY_SECONDS))
    return next(iter(failed), None), delay


def is_retried(run: TrainingRun) -> bool:
    """Return whether a run failed for a reason other than its data, such as a stopped trainer or missing MNIST."""
    return run.state == RunState.FAILED and bool(run.progress.get(run_state.INTERRUPTED))


def run_maintenance() -> None:
    """Expire stale runs, send the task of a queued run again, and start a run that is due."""
    active = active_run()
    if active is not None:
        _send_task_again(active)
        return
    try:
        if settings.TRAINER:
            _queue_due_run()
    except AlreadyRunningError:
        log.debug("a run was due, but another process has already started one")


def _queue_due_run() -> None:
    """Queue a run if one is due: the retry of a failed run, a new base model, enough labels, or the schedule."""
    trigger = TrainingRun.Trigger
    failed, delay = _retry()
    if failed is not None:
        if failed.finished is not None and _is_past(failed.finished + delay, delay):
            # The retry of a run that a person requested is an automatic run, too.
            again = trigger.SCHEDULE if failed.trigger == trigger.PERSON else trigger(failed.trigger)
            queue_run(trigger=again, recipe=failed.recipe["name"], seed=failed.recipe.get("seed", 1))
    elif versions.find_new_base() is not None:
        queue_run(trigger=trigger.SCHEDULE, recipe=SHIPPED)
    elif labels_until_next() == 0:
        queue_run(trigger=trigger.LABELS)
    else:
        when = next_scheduled()
        is_due = when is not None and _is_past(when, timedelta(hours=settings.RETRAIN_SCHEDULE))
        if is_due and Submission.objects.trainable().exists():
            queue_run(trigger=trigger.SCHEDULE)


def _is_past(when: datetime, max_delay: timedelta) -> bool:
    """Return whether a time has passed that was at most `max_delay` ahead when it was computed.

    If it is further ahead now, the clock was set back in the meantime, and the time counts as passed.
    """
    ahead = when - timezone.now()
    return ahead <= timedelta(0) or ahead > max_delay + CLOCK_TOLERANCE


def _send_task(run: TrainingRun) -> None:
    try:
        current_app.send_task(TRAIN_TASK, (run.pk,), retry=False)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("the task of training run %s was not sent and will be retried: %s", run.pk, error)


def _send_task_again(run: TrainingRun) -> None:
    send_count = int(run.progress.get("calls", 1))
    waited = timezone.now() - run.created
    if waited < -CLOCK_TOLERANCE:  # The clock was set back: count the delay from now.
        TrainingRun.objects.filter(pk=run.pk).update(created=timezone.now())
    if run.state == RunState.QUEUED and waited >= timedelta(seconds=RESEND_SECONDS * 2**send_count):
        progress = run.progress | {"calls": send_count + 1}
        if TrainingRun.objects.filter(pk=run.pk, state=RunState.QUEUED).update(progress=progress):
            _send_task(run)
