"""Predictions stay fast while the site trains."""

import statistics
import time

import httpx
import pytest

from digitsite.testing.site import Site, wait_until
from digitsite.testing.writers import leaning_hands
from recognizer.models import TrainingRun
from recognizer.services import training
from tests.support.labelled_rows import settle_drawings
from tests.support.trainer import start_trainer

SEVEN = {"strokes": [[[60, 200, 120], [60, 60, 230]]]}
REQUESTS, AT_MOST = 300, 1.5


@pytest.mark.acceptance
def test_the_median_answer_takes_at_most_half_as_long_again_while_it_trains(site: Site) -> None:
    site.start_redis()
    site.start_web()
    site.start_worker()
    start_trainer(site)
    with site.entered(), site.client() as client:
        median(client, 50)
        idle = median(client, REQUESTS)
        settle_drawings(leaning_hands(4, 2), 100)
        run = training.request_run(trigger=TrainingRun.Trigger.SCHEDULE)

        def trains() -> bool:
            run.refresh_from_db()
            return run.progress["step"] == "training"

        wait_until(trains, seconds=200, event="the training itself")
        busy = median(client, REQUESTS)
        assert trains(), "the training was over too soon to measure beside it"
        print(f"\nidle {idle * 1000:.1f} ms, while training {busy * 1000:.1f} ms: {busy / idle:.2f} times")
        assert busy <= AT_MOST * idle


def median(client: httpx.Client, requests: int) -> float:
    """Median seconds from a drawing sent to its answer, one client."""
    taken = []
    for _ in range(requests):
        started = time.perf_counter()
        answer = client.post("/api/v1/submissions", json=SEVEN, headers={"Prefer": "wait=10"})
        taken.append(time.perf_counter() - started)
        assert answer.status_code == 201, answer.text
    return statistics.median(taken)
