"""Kills or suspends a training process at a given step and checks the state of the site under load."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psutil
from django.contrib.auth.models import User

from digitsite.testing.site import Part, Site, wait_until
from digitsite.testing.writers import leaning_hands
from recognizer.models import Deployment, ModelVersion, RunState, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services import training
from recognizer.services.identity.actors import Actor
from recognizer.services.registry import versions as model_versions
from tests.support.labelled_rows import settle_drawings

SEVEN = {"strokes": [[[60, 200, 120], [60, 60, 230]]]}
SIGNALS = {"kill": signal.SIGKILL, "suspend": signal.SIGSTOP}
# Within this time the run of a stopped process is marked as failed.
MAX_END_SECONDS = 60


def start_trainer(site: Site) -> Part:
    part = site.start("train", [sys.executable, "-m", "digitsite.worker", "train"])
    part.wait_for_words(" ready")
    return part


def stop_the_trainer_at(site: Site, step: str, action: str, *, run_again: bool = True) -> None:
    site.start_redis()
    site.start_web()
    site.start_worker()
    site.start_default_worker()
    trainer = start_trainer(site)
    with site.entered(), submit_continuously(site) as versions:
        settle_drawings(leaning_hands(4, 2), 60)
        run = training.queue_run(trigger=TrainingRun.Trigger.SCHEDULE)
        process = wait_until(lambda: _training_process(trainer), seconds=60, event="the training process")
        wait_until(lambda: _step(run) == step or _has_ended(run), seconds=300, event=f"the step {step}")
        assert not _has_ended(run), f"too late: {run.state} {run.reasons}"
        process.send_signal(SIGNALS[action])
        wait_until(lambda: _has_ended(run), seconds=MAX_END_SECONDS, event="the end of the run")
        if step == "promoting" and run.state == RunState.PROMOTED:
            assert model_versions.live_version() == run.version  # The transaction had already committed.
            return
        assert run.state == RunState.FAILED, run.state
        assert run.reasons
        assert (ModelVersion.objects.count(), Deployment.objects.count()) == (1, 1)
        assert model_versions.live_version().number == 1
        wait_until(lambda: not process.is_running(), event="the end of the training process")
        wait_until(lambda: versions, event="the first prediction")
        assert set(versions) == {1}, versions
        if run_again:
            next_run = training.queue_run(trigger=TrainingRun.Trigger.SCHEDULE)
            wait_until(lambda: _has_ended(next_run), seconds=400, event="the end of the next run")
            assert next_run.state == RunState.PROMOTED, next_run.reasons
            wait_until(lambda: versions[-1] == 2, event="an answer of the new version")


def suspend_the_site_during_a_training(site: Site, seconds: float) -> TrainingRun:
    """Suspend and resume every process of the site, like a laptop that sleeps. Then cancel the run and return it."""
    site.start_redis()
    site.start_default_worker()
    start_trainer(site)
    with site.entered():
        settle_drawings(leaning_hands(4, 2), 60)
        run = training.queue_run(trigger=TrainingRun.Trigger.SCHEDULE)
        wait_until(lambda: _has_heartbeat_since(run, run.started), seconds=120, event="the first heartbeat")
        processes = [psutil.Process(part.pid) for part in site.parts]
        processes += [child for process in processes for child in process.children(recursive=True)]
        for process in processes:
            process.suspend()
        time.sleep(seconds)
        for process in processes:
            process.resume()
        last_heartbeat = run.heartbeat
        wait_until(
            lambda: _has_heartbeat_since(run, last_heartbeat) or _has_ended(run),
            seconds=60,
            event="a heartbeat after the sleep",
        )
        training.cancel(actor=Actor(user=User.objects.create_superuser("olga")), run=run)
        wait_until(lambda: _has_ended(run), seconds=300, event="the end of the run")
        return run


def _has_heartbeat_since(run: TrainingRun, moment: datetime | None) -> bool:
    run.refresh_from_db()
    return run.started is not None and run.heartbeat > (moment or run.started)


@contextmanager
def submit_continuously(site: Site) -> Iterator[list[int]]:
    """Submit five drawings per second while the block runs, and check that each is answered.

    Yields:
        The versions of the predictions so far.
    """
    versions: list[int] = []
    problems: list[str] = []
    finished = threading.Event()

    def draw() -> None:
        with site.client() as client:
            while not finished.wait(0.2):
                answer = client.post("/api/v1/submissions", json=SEVEN, headers={"Prefer": "wait=10"})
                if answer.status_code == 201:
                    versions.append(answer.json()["prediction"]["version"])
                else:
                    problems.append(f"{answer.status_code}: {answer.text}")

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        yield versions
    finally:
        finished.set()
        thread.join()
    assert versions
    assert problems == [], "".join(part.output for part in site.parts if part.name == "web")


def _training_process(trainer: Part) -> psutil.Process | None:
    for child in psutil.Process(trainer.pid).children(recursive=True):
        if "run_training" in " ".join(child.cmdline()):
            return child
    return None


def _step(run: TrainingRun) -> str:
    run.refresh_from_db()
    return run.progress.get("step", "")


def _has_ended(run: TrainingRun) -> bool:
    run.refresh_from_db()
    return run.state not in ACTIVE_RUN_STATES
