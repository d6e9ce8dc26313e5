"""Change of the live version under load.

Workers use a new version from their next batch on: no request is lost, rejected, or answered by a version that was not
live during the request.
"""

import bisect
import threading
import time
from collections.abc import Callable

import pytest

from digitsite.testing.site import Site, some_pixels, wait_until
from recognizer.models import Deployment, Prediction, Submission, SubmissionState
from recognizer.services.inference import backfill
from recognizer.services.registry import versions as model_versions
from tests.factories import make_prediction, make_submission

SEVEN = {"strokes": [[[60, 200, 120], [60, 60, 230]]]}
SENDERS = 8


def test_no_request_is_lost_during_deployments_under_load(site: Site, make_version: Callable) -> None:
    swap_under_load(site, make_version, per_second=20, swaps=6, seconds=4)


@pytest.mark.acceptance
def test_no_request_is_lost_at_50_requests_per_second_and_20_deployments(site: Site, make_version: Callable) -> None:
    swap_under_load(site, make_version, per_second=50, swaps=20, seconds=20)


def swap_under_load(site: Site, make_version: Callable, *, per_second: float, swaps: int, seconds: float) -> None:
    site.start_redis()
    web = site.start_web()
    site.start_worker()
    answers: list[tuple[float, float, int, dict]] = []
    done = threading.Event()

    def send(first: int) -> None:
        with site.client() as client:
            start = time.monotonic()
            for i in range(first, int(per_second * seconds), SENDERS):
                wait = start + i / per_second - time.monotonic()
                if wait > 0:
                    done.wait(wait)
                sent_at = time.monotonic()
                answer = client.post("/api/v1/submissions", json=SEVEN, headers={"Prefer": "wait=10"})
                answers.append((sent_at, time.monotonic(), answer.status_code, answer.json()))

    with site.entered():
        versions = [model_versions.live_version(), make_version(), make_version()]
        # For each version: time before the deployment, time after its commit, number.
        live = [(0.0, 0.0, 1)]
        senders = [threading.Thread(target=send, args=(first,)) for first in range(SENDERS)]
        for sender in senders:
            sender.start()
        for swap in range(1, swaps + 1):
            done.wait(seconds / (swaps + 1))
            version = versions[swap % 3]
            before = time.monotonic()
            model_versions.deploy(version=version, kind=Deployment.Kind.FORCE, why="swap")
            live.append((before, time.monotonic(), version.number))
        for sender in senders:
            sender.join()
        assert len(answers) == int(per_second * seconds)
        assert not [body for _, _, status, body in answers if status not in {201, 202}], web.output
        wait_until(
            lambda: not Submission.objects.filter(state=SubmissionState.PENDING).exists(), event="the last answer"
        )
        for sent_at, answered, status, body in answers:
            if status == 201:
                assert body["prediction"]["version"] in were_live(live, sent_at, answered)
        # Every submission has exactly one prediction, including those that were answered late.
        assert Prediction.objects.count() == len(answers) == Submission.objects.count()
        assert Submission.objects.exclude(state=SubmissionState.PREDICTED).count() == 0
        assert Prediction.objects.values("version").distinct().count() == 3


def were_live(live: list[tuple[float, float, int]], begin: float, end: float) -> set[int]:
    """Return the versions that may have been live at any time between `begin` and `end`."""
    first = max(0, bisect.bisect_right([committed for _, committed, _ in live], begin) - 1)
    return {number for before, _, number in live[first:] if before <= end}


def test_recent_and_doubtful_submissions_are_predicted_again_after_a_deployment(
    site: Site, make_version: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "NEWEST_COUNT", 3)
    monkeypatch.setattr(backfill, "DOUBTFUL_COUNT", 2)
    site.start_redis()
    with site.entered():
        rows = [make_submission(pixels=some_pixels(i)) for i in range(8)]
        for i, row in enumerate(rows):
            make_prediction(row, doubt=0.9 if i in (0, 1) else 0.1)
            Submission.objects.filter(pk=row.pk).update(answered_by=1)
        assert backfill.enqueue_remaining() == 0
        version = make_version()
        model_versions.deploy(version=version, kind=Deployment.Kind.PROMOTE, why="better")
        assert backfill.enqueue_remaining() == 5
        assert backfill.enqueue_remaining() == 0  # the messages of the first call wait
        site.start_worker()
        wait_until(lambda: Prediction.objects.filter(version=version).count() == 5)
        updated = set(Prediction.objects.filter(version=version).values_list("submission", flat=True))
        assert updated == {rows[i].pk for i in (0, 1, 5, 6, 7)}
        assert rows[0].predictions.count() == 2
