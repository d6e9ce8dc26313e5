"""Stops a training process at a chosen step and looks at what is left, while somebody goes on drawing."""

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
SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}
# However it ended: within this time its run is marked as failed.
A_MINUTE = 60


def start_trainer(site: Site) -> Part:
    part = site.start("train", [sys.executable, "-m", "digitsite.worker", "train"])
    part.wait_for_words(" ready")
    return part


def stop_the_trainer_at(site: Site, step: str, how: str, *, again: bool = True) -> None:
    site.start_redis()
    site.start_web()
    site.start_worker()
    site.start_default_worker()
    trainer = start_trainer(site)
    with site.entered(), somebody_draws(site) as versions:
        settle_drawings(leaning_hands(4, 2), 60)
        run = training.request_run(trigger=TrainingRun.Trigger.SCHEDULE)
        process = wait_until(lambda: _training_process(trainer), seconds=60, event="the training process")
        wait_until(lambda: _step(run) == step or _ended(run), seconds=300, event=f"the step {step}")
        assert not _ended(run), f"too late: {run.state} {run.reasons}"
        process.send_signal(SIGNALS[how])
        wait_until(lambda: _ended(run), seconds=A_MINUTE, event="the end of the run")
        if step == "promoting" and run.state == RunState.PROMOTED:
            assert model_versions.live_version() == run.version  # the one transaction was quicker: all of it is there
            return
        assert run.state == RunState.FAILED, run.state
        assert run.reasons
        assert (ModelVersion.objects.count(), Deployment.objects.count()) == (1, 1)
        assert model_versions.live_version().number == 1
        wait_until(lambda: not process.is_running(), event="the end of the training process")
        wait_until(lambda: versions, event="the first answer to whoever draws")
        assert set(versions) == {1}, versions
        if again:
            after = training.request_run(trigger=TrainingRun.Trigger.SCHEDULE)
            wait_until(lambda: _ended(after), seconds=400, event="the end of the next run")
            assert after.state == RunState.PROMOTED, after.reasons
            wait_until(lambda: versions[-1] == 2, event="an answer of the new version")


def suspend_the_site_during_a_training(site: Site, seconds: float) -> TrainingRun:
    """Suspend every process of the site, as a laptop that sleeps does; then cancel the run, and return it ended."""
    site.start_redis()
    site.start_default_worker()
    start_trainer(site)
    with site.entered():
        settle_drawings(leaning_hands(4, 2), 60)
        run = training.request_run(trigger=TrainingRun.Trigger.SCHEDULE)
        wait_until(lambda: _beats_since(run, run.started), seconds=120, event="the first heartbeat")
        processes = [psutil.Process(part.pid) for part in site.parts]
        processes += [child for process in processes for child in process.children(recursive=True)]
        for process in processes:
            process.suspend()
        time.sleep(seconds)
        for process in processes:
            process.resume()
        heard = run.heartbeat
        wait_until(lambda: _beats_since(run, heard) or _ended(run), seconds=60, event="a heartbeat after the sleep")
        training.cancel(actor=Actor(user=User.objects.create_superuser("olga")), run=run)
        wait_until(lambda: _ended(run), seconds=300, event="the end of the run")
        return run


def _beats_since(run: TrainingRun, moment: datetime | None) -> bool:
    run.refresh_from_db()
    return run.started is not None and run.heartbeat > (moment or run.started)


@contextmanager
def somebody_draws(site: Site) -> Iterator[list[int]]:
    """Five drawings a second, one after the other, each of which must be answered. Gives the versions that did."""
    versions: list[int] = []
    problems: list[str] = []
    enough = threading.Event()

    def draw() -> None:
        with site.client() as client:
            while not enough.wait(0.2):
                answer = client.post("/api/v1/submissions", json=SEVEN, headers={"Prefer": "wait=10"})
                if answer.status_code == 201:
                    versions.append(answer.json()["prediction"]["version"])
                else:
                    problems.append(f"{answer.status_code}: {answer.text}")

    person = threading.Thread(target=draw)
    person.start()
    try:
        yield versions
    finally:
        enough.set()
        person.join()
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


def _ended(run: TrainingRun) -> bool:
    run.refresh_from_db()
    return run.state not in ACTIVE_RUN_STATES
