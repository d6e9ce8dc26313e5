"""Browser tests of the Models pages: progress of a run, and layout."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from digitsite.testing.site import BASE_DIR, Site

SETUP = """
from recognizer.services.identity import users
print(users.sign_in_link(users.make_operator("olga")))
"""
# The test acts as the trainer, through the same services.
RUN = """
from recognizer.models import TrainingRun
from recognizer.services import training
from recognizer.services.training import run_state
run = training.active_run() or training.queue_run(trigger=TrainingRun.Trigger.SCHEDULE)
token = run_state.claim(run.pk) or run.token
recorder = run_state.Recorder(run.pk, token)
recorder.report(
    "training", 0.5, "Training: 3 epochs of 18000 images.",
    history=dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), [0.5, 0.4]),
    epoch=2, epochs=3, batch=10, batches=280, loss=0.4, accuracy=0.95, seconds_left=7,
)
print(run.pk)
"""
END = """
from recognizer.models import RunState, TrainingRun
from recognizer.services.training import run_state
run = TrainingRun.objects.first()
run_state.end(run.pk, run.token, RunState.FAILED, "The test ended it.")
"""


def shell(site: Site, code: str) -> str:
    command = [sys.executable, "manage.py", "shell", "-c", code]
    done = subprocess.run(command, cwd=BASE_DIR, env=site.environment, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


@pytest.fixture
def operator(running_site: Site, new_context: Callable[..., BrowserContext]) -> Page:
    page = new_context(reduced_motion="reduce").new_page()
    page.goto(shell(running_site, SETUP))
    sign_in = page.get_by_role("button", name="Sign in")
    if sign_in.count():
        sign_in.first.click()
    return page


def test_run_page_updates_live_and_shows_the_result(running_site: Site, operator: Page) -> None:
    number = shell(running_site, RUN)
    operator.goto(f"/models/runs/{number}/")
    expect(operator.locator("[data-line]")).to_contain_text("epoch 2 of 3")
    expect(operator.locator("[data-curves] svg")).to_have_count(2)
    shell(running_site, RUN.replace("epoch=2", "epoch=3").replace("[0.5, 0.4]", "[0.5, 0.4, 0.35]"))
    expect(operator.locator("[data-line]")).to_contain_text("epoch 3 of 3")
    shell(running_site, END)
    expect(operator.get_by_role("heading", level=1)).to_contain_text("Failed")
    expect(operator.get_by_text("The test ended it.")).to_be_visible()


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("path", ["/models/", "/models/1/"])
def test_models_pages_fit_the_screen(operator: Page, path: str, width: int) -> None:
    operator.set_viewport_size({"width": width, "height": 800})
    operator.goto(path)
    assert operator.evaluate("document.documentElement.scrollWidth") <= width
    expect(operator.get_by_role("heading", level=1)).to_be_visible()
