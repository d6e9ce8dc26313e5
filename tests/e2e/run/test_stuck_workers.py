"""Workers that run without taking work are restarted by the supervisor."""

import sys
from collections.abc import Callable

import pytest

from digitsite.testing.site import wait_until
from digitsite.testing.supervised import Supervised
from tests.support.unresponsive_worker import FILE

Start = Callable[..., Supervised]


@pytest.mark.acceptance
def test_unresponsive_workers_are_restarted_while_work_is_pending(start: Start) -> None:
    site = start(
        command=(sys.executable, "-m", "tests.support.unresponsive_worker"), LIVENESS_INTERVAL_SECONDS="1", TRAINER="0"
    )  # fmt: skip
    site.wait_until_it_answers()
    wait_until(lambda: site.is_ready("default"), seconds=60, event="the default worker")
    site.part("predictions").suspend()
    (site.folder / FILE).touch()
    wait_until(lambda: site.draw_a_three().status_code == 202, seconds=20, event="a picture that waits")
    for name in ("predictions", "default"):
        site.wait_for_words(f"{name} takes no work, and some waits; ending it", seconds=90)
        site.wait_for_words(f"{name} ended unexpectedly (SIGKILL)")
    wait_until(lambda: site.draw_a_three().status_code == 201, seconds=60, event="an answer")
    # Each is restarted once, because the new workers take work.
    assert site.output.count("takes no work") == 2
