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
REQUESTS, MAX_RATIO = 300, 1.5


@pytest.mark.acceptance
def test_the_median_latency_grows_by_at_most_half_during_a_training(site: Site) -> None:
    site.start_redis()
    site.start_web()
    site.start_worker()
    start_trainer(site)
    with site.entered(), site.client() as client:
        median(client, 50)
        idle = median(client, REQUESTS)
        settle_drawings(leaning_hands(4, 2), 100)
        run = training.queue_run(trigger=TrainingRun.Trigger.SCHEDULE)

        def trains() -> bool:
            run.refresh_from_db()
            return run.progress["step"] == "training"

        wait_until(trains, seconds=200, event="the training itself")
        busy = median(client, REQUESTS)
        assert trains(), "the training ended before the measurement"
        print(f"\nidle {idle * 1000:.1f} ms, while training {busy * 1000:.1f} ms: {busy / idle:.2f} times")
        assert busy <= MAX_RATIO * idle


def median(client: httpx.Client, requests: int) -> float:
    """Return the median time in seconds from sending a drawing to its prediction, for one client."""
    durations = []
    for _ in range(requests):
        started = time.perf_counter()
        answer = client.post("/api/v1/submissions", json=SEVEN, headers={"Prefer": "wait=10"})
        durations.append(time.perf_counter() - started)
        assert answer.status_code == 201, answer.text
    return statistics.median(durations)
