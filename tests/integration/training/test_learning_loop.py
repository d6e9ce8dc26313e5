"""The whole training loop with real pages, workers and trainer, and the behaviour of killed and suspended trainers.

The loop at full size takes a minute of CPU time.
"""

import contextlib
import re
import subprocess
import sys
import time

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User

from digitsite.testing.site import BASE_DIR, Site, wait_until
from digitsite.testing.writers import draw_images, leaning_hands
from recognizer.models import Prediction, RunState, Submission, TrainingRun
from recognizer.services.registry import versions
from tests.support.labelled_rows import settle_drawings
from tests.support.trainer import start_trainer, stop_the_trainer_at, suspend_the_site_during_a_training

OPERATOR, PASSWORD = "otto", "a long pass phrase"


def signed_in(site: Site) -> httpx.Client:
    user = User.objects.create_user(OPERATOR, password=PASSWORD)
    user.groups.set(Group.objects.filter(name__in=["operator", "reviewer"]))
    client = site.client()
    client.get("/account/login/")
    answer = post(client, "/account/login/", username=OPERATOR, password=PASSWORD)
    assert answer.status_code == 302, answer.text
    return client


def post(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    return client.post(path, data=fields | {"csrfmiddlewaretoken": client.cookies[settings.CSRF_COOKIE_NAME]})


def accuracy(images, labels) -> float:
    classifier = versions.classifier_of(versions.live_version())
    return float((classifier.logits(images).argmax(axis=1) == labels).mean())


@pytest.mark.acceptance
def test_misread_writers_are_read_correctly_after_training_on_their_labels(make_site) -> None:
    site = make_site(RETRAIN_AFTER_LABELS="150", RECOVERY_INTERVAL_SECONDS="0.5", TRAINING_THREADS="2")
    site.start_redis()
    collect = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
    subprocess.run(collect, cwd=BASE_DIR, env=site.environment, check=True)
    web = site.start_web()
    site.start_worker()
    site.start_default_worker()
    start_trainer(site)
    hands = leaning_hands(4, 2)
    with contextlib.ExitStack() as stack, site.entered():
        held_out = draw_images(hands, 600, 77)
        before = accuracy(*held_out)
        assert before <= 0.92
        client = stack.enter_context(contextlib.closing(signed_in(site)))
        settle_drawings(hands, 149)
        last = settle_drawings(hands, 1, seed=9)[0]
        # The last label is entered on the page.
        Submission.objects.filter(pk=last.pk).update(truth="", truth_state="none")
        assert post(client, f"/s/{last.public_id}/label/", value=last.truth).status_code == 302
        reviewed = time.monotonic()
        run = wait_until(TrainingRun.objects.first, event="an automatic training run")
        page = f"/models/runs/{run.pk}/"
        shares, curves = [], set()
        while not (progress := client.get(f"{page}progress/").json())["ended"]:
            shares.append(progress["share"])
            curves.add(progress["curves"])
            assert time.monotonic() < reviewed + 400, progress
            time.sleep(0.2)
        assert progress["state"] == RunState.PROMOTED, progress
        assert shares == sorted(shares)
        assert len(curves) >= 3  # updated after each epoch
        # A worker uses the new version without a restart, and older submissions are predicted again.
        strokes = {"strokes": last.strokes}
        answer = client.post(
            "/api/v1/submissions",
            json=strokes,
            headers={"X-CSRFToken": client.cookies[settings.CSRF_COOKIE_NAME], "Prefer": "wait=10"},
        )
        assert answer.status_code == 201, web.output
        assert answer.json()["prediction"]["version"] == 2, answer.text
        print(f"\nfrom the last review to the new model answering: {time.monotonic() - reviewed:.0f} s")
        after = accuracy(*held_out)
        assert 1 - after <= (1 - before) / 2
        assert "Version 2" in client.get("/models/2/").text
        assert re.search(r"is live since", client.get("/models/").text)
        wait_until(
            lambda: Prediction.objects.filter(version__number=2).count() > 100, event="predictions of older submissions"
        )
        # Roll back on the page.
        assert post(client, "/models/1/rollback/").status_code == 302
        assert versions.live_version().number == 1


@pytest.mark.acceptance
@pytest.mark.parametrize("action", ["kill", "suspend"])
@pytest.mark.parametrize("step", ["loading", "training", "exporting", "evaluating", "promoting"])
def test_a_trainer_killed_or_suspended_at_any_step_keeps_the_champion_and_the_next_run_succeeds(
    make_site, action: str, step: str
) -> None:
    stop_the_trainer_at(make_site(TRAINING_THREADS="2"), step, action)


def test_a_killed_training_process_ends_its_run_immediately_and_the_site_continues(make_site) -> None:
    stop_the_trainer_at(make_site(RECOVERY_INTERVAL_SECONDS="1"), "training", "kill", run_again=False)


def test_a_suspended_training_process_is_detected_and_killed(make_site) -> None:
    site = make_site(TRAINER_SILENCE_SECONDS="5", RECOVERY_INTERVAL_SECONDS="1")
    stop_the_trainer_at(site, "loading", "suspend", run_again=False)


@pytest.mark.acceptance
def test_a_training_continues_after_all_processes_of_the_site_were_suspended(make_site) -> None:
    site = make_site(TRAINER_SILENCE_SECONDS="5", RECOVERY_INTERVAL_SECONDS="1", TRAINING_THREADS="2")
    run = suspend_the_site_during_a_training(site, seconds=12)
    assert run.state == RunState.CANCELLED, run.reasons
