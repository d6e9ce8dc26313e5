"""Asking for a training run, and everything periodic about it.

What is periodic asks the database whether it is due, so a laptop that slept catches up and two beats do no harm.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from celery import current_app
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis import RedisError

from recognizer.models import (
    DIGITS,
    Deployment,
    Fold,
    RunState,
    Submission,
    TrainingRun,
    TruthState,
    TruthValue,
)
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.throttling import Kind, limit_rate
from recognizer.services.lib.clocks import HeartbeatMonitor
from recognizer.services.registry import versions

from . import run_state

log = logging.getLogger(__name__)

TRAIN_TASK = "recognizer.tasks.train"
# The message that calls the trainer may get lost; a run that nobody took is called again, less and less often.
RESEND_SECONDS = 15
# A run is expired after so many looks at least: one look after this process was suspended proves nothing.
MIN_CHECKS = 3
# A run that failed for no fault of its data is tried again after so long, and later and later after further ones.
RETRY_SECONDS, RETRY_FACTOR, MAX_RETRY_SECONDS = 60, 4, 24 * 3600
# More failures in a row are not counted: the delay is the longest already.
MAX_FAILURES = 8
# What the clocks of several hosts may differ.
CLOCK_TOLERANCE = timedelta(minutes=1)
RECIPES = ("site", "site-from-scratch")
NO_TRAINER = "This site was started without a trainer (TRAINER=0), so it does not train. Start it with TRAINER=1."
SHIPPED = "shipped"
# What a label must say to train; the others ("several", "unreadable") only leave the queue.
TRAINING_VALUES = [*DIGITS, TruthValue.NOT_A_DIGIT.value]

_heartbeats = HeartbeatMonitor()


class CannotTrainError(RuntimeError):
    """No run can be begun now; the message says why."""


class NoTrainerError(CannotTrainError):
    """The site was started without a trainer."""

    def __init__(self) -> None:
        super().__init__(NO_TRAINER)


class AlreadyRunningError(CannotTrainError):
    """A run is going on; `run` is which."""

    def __init__(self, run: TrainingRun) -> None:
        super().__init__(f"Training run {run.pk} is going on already ({run.get_state_display().lower()}).")
        self.run = run


def trainable_submissions() -> QuerySet[Submission]:
    """The submissions whose labels train: settled, of the train fold, given for it."""
    return Submission.objects.filter(
        truth_state=TruthState.SETTLED, truth__in=TRAINING_VALUES, fold=Fold.TRAIN, may_train=True
    )


def active_run() -> TrainingRun | None:
    """The run that waits or runs, after those whose trainer is gone were ended."""
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
    """Ask for a run.

    Args:
        actor: the person, where the trigger is one; the others are the site itself.
        recipe: "site" goes on from the live model, "site-from-scratch" does not, "shipped" trains nothing and puts
            the base model that came with an upgrade before the gate.
        seed: the same labels, recipe and seed as in the last run give nothing new, and the run says so.

    Raises:
        NotAllowedError: the person is no operator.
        ValueError: there is no such recipe.
        NoTrainerError: the site has no trainer; the run would wait for ever.
        AlreadyRunningError: a run is going on; one is enough.
    """
    return _ask(trigger=trigger, actor=actor, recipe=recipe, seed=seed)


def _ask(*, trigger: TrainingRun.Trigger, actor: Actor | None, recipe: str, seed: int) -> TrainingRun:
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
                labels=trainable_submissions().count(),
                progress={"step": "waiting", "share": 0.0},
            )
            transaction.on_commit(lambda: _call_trainer(run))
    except IntegrityError:
        running = TrainingRun.objects.filter(state__in=ACTIVE_RUN_STATES).first()
        if running is None:  # it ended in this very moment
            return _ask(trigger=trigger, actor=actor, recipe=recipe, seed=seed)
        raise AlreadyRunningError(running) from None
    log.info("training run %s was asked for (%s, %s)", run.pk, trigger, recipe)
    return run


@limit_rate(Kind.CHANGE)
def cancel(*, actor: Actor, run: TrainingRun) -> bool:
    """Ask a run to stop; one that no trainer took yet is over at once. Returns False when it had ended by itself.

    Raises:
        NotAllowedError: the actor is no operator.
    """
    permissions.require_operator(actor)
    who = f"Cancelled by {actor.user.get_username() if actor.user else 'a command'}."
    waiting = TrainingRun.objects.filter(pk=run.pk, state=RunState.QUEUED)
    if waiting.update(state=RunState.CANCELLED, finished=timezone.now(), cancel_requested=True, reasons=[who]):
        return True
    return bool(TrainingRun.objects.filter(pk=run.pk, state=RunState.RUNNING).update(cancel_requested=True))


def expire_stale() -> int:
    """End a run whose heartbeat has stopped while this process looked on. What its trainer still wants to write fails.

    By the wall clock every run of a laptop would be over after each sleep, and none for hours after the clock was set
    back. So a run is over once this process has looked several times and the heartbeat was always the same.
    """
    running = TrainingRun.objects.filter(state=RunState.RUNNING).values("pk", "token", "heartbeat").first()
    silence = settings.TRAINER_SILENCE_SECONDS
    if _heartbeats.unchanged_seconds(running, max_gap=silence / MIN_CHECKS) < silence or running is None:
        return 0
    run = TrainingRun.objects.get(pk=running["pk"])
    expired = TrainingRun.objects.filter(state=RunState.RUNNING, **running).update(
        state=RunState.FAILED,
        finished=timezone.now(),
        reasons=[run_state.silent_for(silence)],
        progress=run.progress | {run_state.INTERRUPTED: True},
    )
    if expired:
        log.warning("training run %s was ended: its trainer has fallen silent", run.pk)
    return expired


def labels_until_next() -> int | None:
    """How many more settled labels start the next training by themselves; None where labels do not start any."""
    if not settings.RETRAIN_AFTER_LABELS:
        return None
    return max(0, settings.RETRAIN_AFTER_LABELS - (trainable_submissions().count() - _labels_seen()))


def next_scheduled() -> datetime | None:
    """When the schedule is due; None where there is no schedule."""
    if not settings.RETRAIN_SCHEDULE:
        return None
    last = TrainingRun.objects.order_by("-id").values_list("created", flat=True).first()
    since = last or Deployment.objects.order_by("sequence").values_list("created", flat=True).first()
    return since + timedelta(hours=settings.RETRAIN_SCHEDULE) if since else None


def next_retry() -> datetime | None:
    """Return when the latest run is tried again; None where it did not fail, or failed because of its data."""
    delay = _retry_delay()
    failed = TrainingRun.objects.values_list("finished", flat=True).first()
    return failed + delay if delay is not None and failed is not None else None


def _retry_delay() -> timedelta | None:
    """How long after its end the latest run is tried again."""
    failures = len(list(takewhile(is_retried, TrainingRun.objects.defer("log")[:MAX_FAILURES])))
    if not failures:
        return None
    return timedelta(seconds=min(RETRY_SECONDS * RETRY_FACTOR ** (failures - 1), MAX_RETRY_SECONDS))


def is_retried(run: TrainingRun) -> bool:
    """Whether a run failed for no fault of its data: its trainer was stopped, killed or silent, or lacked MNIST."""
    return run.state == RunState.FAILED and bool(run.progress.get(run_state.INTERRUPTED))


def run_maintenance() -> None:
    """Everything periodic: end runs without a trainer, call the trainer again, start a run that is due."""
    expire_stale()
    active = TrainingRun.objects.filter(state__in=ACTIVE_RUN_STATES).first()
    if active is not None:
        _call_again(active)
        return
    due = _due() if settings.TRAINER else None
    if due is None:
        return
    try:
        request_run(trigger=due.trigger, recipe=due.recipe, seed=due.seed)
    except AlreadyRunningError:
        log.debug("a run was due, and somebody else was quicker")


@dataclass(frozen=True, slots=True)
class DueRun:
    """A run that the site asks for by itself; its fields are arguments of `request_run`."""

    trigger: TrainingRun.Trigger
    recipe: str = "site"
    seed: int = 1


def _due() -> DueRun | None:
    delay = _retry_delay()
    if delay is not None:
        failed = TrainingRun.objects.defer("log").latest("id")
        return _again(failed) if _is_past(failed.finished + delay, delay) else None
    if versions.find_new_base() is not None:
        return DueRun(TrainingRun.Trigger.SCHEDULE, SHIPPED)
    if labels_until_next() == 0:
        return DueRun(TrainingRun.Trigger.LABELS)
    when = next_scheduled()
    if (
        when is not None
        and _is_past(when, timedelta(hours=settings.RETRAIN_SCHEDULE))
        and trainable_submissions().exists()
    ):
        return DueRun(TrainingRun.Trigger.SCHEDULE)
    return None


def _again(failed: TrainingRun) -> DueRun:
    """The failed run once more. A person who asked for it need not ask again."""
    by_person = failed.trigger == TrainingRun.Trigger.PERSON
    trigger = TrainingRun.Trigger.SCHEDULE if by_person else TrainingRun.Trigger(failed.trigger)
    return DueRun(trigger, str(failed.recipe["name"]), int(failed.recipe.get("seed", 1)))


def _is_past(when: datetime, longest: timedelta) -> bool:
    """Whether a moment has come that was `longest` ahead when it was set.

    One that is further ahead was set before the clock was set back, and nobody knows how long ago.
    """
    ahead = when - timezone.now()
    return ahead <= timedelta(0) or ahead > longest + CLOCK_TOLERANCE


def _labels_seen() -> int:
    """How many labels there were when the last run that looked at labels was begun."""
    runs = TrainingRun.objects.exclude(recipe__name=SHIPPED)
    return runs.order_by("-id").values_list("labels", flat=True).first() or 0


def _call_trainer(run: TrainingRun) -> None:
    try:
        current_app.send_task(TRAIN_TASK, (run.pk,), retry=False)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("the trainer was not called for training run %s, and will be again: %s", run.pk, error)


def _call_again(run: TrainingRun) -> None:
    calls = int(run.progress.get("calls", 1))
    waited = timezone.now() - run.created
    if waited < -CLOCK_TOLERANCE:  # the clock was set back: it waits from now on
        TrainingRun.objects.filter(pk=run.pk).update(created=timezone.now())
    if run.state == RunState.QUEUED and waited >= timedelta(seconds=RESEND_SECONDS * 2**calls):
        progress = run.progress | {"calls": calls + 1}
        unchanged = Q(pk=run.pk, state=RunState.QUEUED)
        if TrainingRun.objects.filter(unchanged).update(progress=progress):
            _call_trainer(run)
