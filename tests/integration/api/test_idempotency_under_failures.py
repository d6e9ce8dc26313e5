"""Concurrent clients repeat requests while processes are killed: each submission is stored once."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from digitsite.testing.site import Site, wait_until
from recognizer.models import IdempotencyKey, Prediction, Submission, SubmissionState

CLIENTS = 32
# One of three requests is repeated: half of these concurrently, half after the first response.
REPEAT_EVERY = 3


@dataclass(frozen=True)
class Answer:
    """The final response to a request."""

    number: int
    status: int
    location: str
    body: str


def body_of(number: int) -> dict:
    """Return the body of a drawing that is unique for the number."""
    return {"strokes": [[[60, 200, 120 + number % 40], [60 + number // 40, 60, 230]]]}


def send(site: Site, number: int) -> Answer:
    """Send a request until there is a response, always with the same key."""
    while True:
        try:
            response = httpx.post(
                f"http://127.0.0.1:{site.port}/api/v1/submissions",
                json=body_of(number),
                headers={"Idempotency-Key": f"number-{number}"},
                timeout=30,
                trust_env=False,
            )
        except httpx.TransportError:
            time.sleep(0.1)  # the web server is restarting
            continue
        if response.status_code not in (409, 503):
            assert response.status_code in (201, 202), response.text
            return Answer(number, response.status_code, response.headers["Location"], response.text)
        time.sleep(min(1, int(response.headers["Retry-After"])))


def send_all(site: Site, count: int, events: dict[int, Callable[[], None]]) -> list[Answer]:
    """Send `count` requests, a third of them twice, and run each event after a number of responses."""
    answers: list[Answer] = []
    lock = threading.Lock()

    def send_number(number: int) -> None:
        answer = send(site, number)
        with lock:
            answers.append(answer)

    def work() -> Iterator[int]:
        for number in range(count):
            yield number
            if number % REPEAT_EVERY == 0:
                # Immediately, concurrent with the first, or much later.
                yield number if number % 2 else max(0, number - 5 * CLIENTS // REPEAT_EVERY * REPEAT_EVERY)

    with ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(send_number, number) for number in work()]
        for after, event in events.items():
            wait_until(lambda after=after: len(answers) >= after, seconds=120, event=f"the first {after} answers")
            event()
        for future in futures:
            future.result()
    return answers


def check_stored_once(make_site: Callable[..., Site], count: int, *, kill_web: bool) -> None:
    site = make_site(RECOVERY_INTERVAL_SECONDS="0.5", PREDICTION_WAIT_SECONDS="1")
    site.start_redis()
    worker = site.start_worker()
    site.start_default_worker()
    web = site.start_web()

    def kill_worker() -> None:
        worker.kill()
        site.start_worker(ready=False)

    def kill_web_server() -> None:
        web.kill()
        site.start_web()

    events = {count // 2: kill_worker}
    if kill_web:
        events[count * 3 // 4] = kill_web_server
    answers = send_all(site, count, events)
    assert {item.number for item in answers} == set(range(count))
    by_number: dict[int, set[Answer]] = {}
    for item in answers:
        by_number.setdefault(item.number, set()).add(item)
    # Status, location and body are the same, byte by byte.
    assert all(len(same) == 1 for same in by_number.values())
    ids = {json.loads(next(iter(same)).body)["id"] for same in by_number.values()}
    with site.entered():
        wait_until(
            lambda: not Submission.objects.filter(state=SubmissionState.PENDING).exists(),
            seconds=60,
            event="the last answer",
        )
        assert set(Submission.objects.values_list("public_id", flat=True)) == ids
        assert Submission.objects.filter(state=SubmissionState.PREDICTED).count() == len(ids) == count
        assert Prediction.objects.count() == count
        assert IdempotencyKey.objects.exclude(status=None).count() == count


def test_100_concurrent_submissions_are_stored_once_despite_crashes(make_site) -> None:
    check_stored_once(make_site, 100, kill_web=False)


@pytest.mark.acceptance
@pytest.mark.both_databases
@pytest.mark.parametrize("kill_web", [False, True])
def test_1000_concurrent_submissions_are_stored_once_despite_crashes(make_site, kill_web) -> None:
    check_stored_once(make_site, 1000, kill_web=kill_web)
