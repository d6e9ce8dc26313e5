"""Scheduling of training runs: requests, cancellation, and periodic maintenance.

Periodic work checks in the database whether a run is due, so a laptop that was suspended catches up, and two schedulers
do no harm.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from celery import current_app
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis import RedisError

from recognizer.models import Deployment, RunState, Submission, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.throttling import Kind, limit_rate
from recognizer.services.lib.clocks import HeartbeatMonitor
from recognizer.services.registry import versions

from . import run_state

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
def request_run(
    *,
    trigger: TrainingRun.Trigger,
    actor: Actor | None = None,
    recipe: str = "site",
    seed: int = 1,
) -> TrainingRun:
    """Request a training run.

    Args:
        trigger: why the run is requested.
        actor: the person who requests it, if the trigger is `PERSON`.
        recipe: "site" continues from the live model, "site-from-scratch" does not, "shipped" trains nothing and
            evaluates the base model of an upgrade.
        seed: seed of the training. A run with the same labels, recipe and seed as the last one ends as unchanged.

    Raises:
        NotAllowedError: the person is not an operator.
        ValueError: the recipe does not exist.
        NoTrainerError: the site has no trainer.
        AlreadyRunningError: another run is queued or running.
    """
    if trigger == TrainingRun.Trigger.PERSON:
        permissions.require_operator(actor or Actor())
    if recipe not in (*RECIPES, SHIPPED):
        raise ValueError(f"There is no recipe {recipe!r}. Use one of: {', '.join(RECIPES)}.")
    if not settings.TRAINER:
        raise NoTrainerError
    expire_stale()
    try:
        with transaction.atomic():
            run = TrainingRun.objects.create(
                trigger=trigger,
                requested_by=actor.user if actor else None,
                recipe={"name": recipe, "seed": seed},
                labels=Submission.objects.trainable().count(),
                progress={"step": "waiting", "share": 0.0},
            )
            transaction.on_commit(lambda: _send_task(run))
    except IntegrityError:
        running = TrainingRun.objects.filter(state__in=ACTIVE_RUN_STATES).first()
        if running is None:  # It has just ended.
            return request_run(trigger=trigger, actor=actor, recipe=recipe, seed=seed)
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
    return max(0, settings.RETRAIN_AFTER_LABELS - (Submission.objects.trainable().count() - _labels_at_last_run()))


def next_scheduled() -> datetime | None:
    """Return the time of the next scheduled run; None if there is no schedule."""
    if not settings.RETRAIN_SCHEDULE:
        return None
    last = TrainingRun.objects.order_by("-id").values_list("created", flat=True).first()
    since = last or Deployment.objects.order_by("sequence").values_list("created", flat=True).first()
    return since + timedelta(hours=settings.RETRAIN_SCHEDULE) if since else None


def next_retry() -> datetime | None:
    """Return when the latest run is retried; None if it did not fail, or failed because of its data."""
    delay = _retry_delay()
    failed = TrainingRun.objects.values_list("finished", flat=True).first()
    return failed + delay if delay is not None and failed is not None else None


def _retry_delay() -> timedelta | None:
    """Return the delay between the end of the latest run and its retry."""
    failures = len(list(takewhile(is_retried, TrainingRun.objects.defer("log")[:MAX_FAILURES])))
    if not failures:
        return None
    return timedelta(seconds=min(RETRY_SECONDS * RETRY_FACTOR ** (failures - 1), MAX_RETRY_SECONDS))


def is_retried(run: TrainingRun) -> bool:
    """Return whether a run failed for a reason other than its data, such as a stopped trainer or missing MNIST."""
    return run.state == RunState.FAILED and bool(run.progress.get(run_state.INTERRUPTED))


def run_maintenance() -> None:
    """Expire stale runs, send the task of a queued run again, and start a run that is due."""
    expire_stale()
    active = TrainingRun.objects.filter(state__in=ACTIVE_RUN_STATES).first()
    if active is not None:
        _send_task_again(active)
        return
    due = _due() if settings.TRAINER else None
    if due is None:
        return
    try:
        request_run(trigger=due.trigger, recipe=due.recipe, seed=due.seed)
    except AlreadyRunningError:
        log.debug("a run was due, but another process has already started one")


@dataclass(frozen=True, slots=True)
class DueRun:
    """An automatic run that is due. The fields are arguments of `request_run`."""

    trigger: TrainingRun.Trigger
    recipe: str = "site"
    seed: int = 1


def _due() -> DueRun | None:
    delay = _retry_delay()
    if delay is not None:
        failed = TrainingRun.objects.defer("log").latest("id")
        is_due = failed.finished is not None and _is_past(failed.finished + delay, delay)
        return _retry(failed) if is_due else None
    if versions.find_new_base() is not None:
        return DueRun(TrainingRun.Trigger.SCHEDULE, SHIPPED)
    if labels_until_next() == 0:
        return DueRun(TrainingRun.Trigger.LABELS)
    when = next_scheduled()
    if (
        when is not None
        and _is_past(when, timedelta(hours=settings.RETRAIN_SCHEDULE))
        and Submission.objects.trainable().exists()
    ):
        return DueRun(TrainingRun.Trigger.SCHEDULE)
    return None


def _retry(failed: TrainingRun) -> DueRun:
    """Return the retry of a failed run, also of one that was requested by a person."""
    by_person = failed.trigger == TrainingRun.Trigger.PERSON
    trigger = TrainingRun.Trigger.SCHEDULE if by_person else TrainingRun.Trigger(failed.trigger)
    return DueRun(trigger, str(failed.recipe["name"]), int(failed.recipe.get("seed", 1)))


def _is_past(when: datetime, max_delay: timedelta) -> bool:
    """Return whether a time has passed that was at most `max_delay` ahead when it was computed.

    If it is further ahead now, the clock was set back in the meantime, and the time counts as passed.
    """
    ahead = when - timezone.now()
    return ahead <= timedelta(0) or ahead > max_delay + CLOCK_TOLERANCE


def _labels_at_last_run() -> int:
    """Return the number of labels at the start of the last run that used labels."""
    runs = TrainingRun.objects.exclude(recipe__name=SHIPPED)
    return runs.order_by("-id").values_list("labels", flat=True).first() or 0


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
