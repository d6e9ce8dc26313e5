"""Many programs at once, who send again what they are not sure of, while a worker dies: each picture is there once."""

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
# Of three requests one is sent again: half of these at the same moment, half when the first was answered.
AGAIN = 3


@dataclass(frozen=True)
class Answer:
    """What one request got in the end."""

    number: int
    status: int
    location: str
    body: str


def body_of(number: int) -> dict:
    """A drawing that no other number has."""
    return {"strokes": [[[60, 200, 120 + number % 40], [60 + number // 40, 60, 230]]]}


def send(site: Site, number: int) -> Answer:
    """As a program should: again until there is an answer, with the same key."""
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
            time.sleep(0.1)  # the web server is being started again
            continue
        if response.status_code not in (409, 503):
            assert response.status_code in (201, 202), response.text
            return Answer(number, response.status_code, response.headers["Location"], response.text)
        time.sleep(min(1, int(response.headers["Retry-After"])))


def send_all(site: Site, count: int, events: dict[int, Callable[[], None]]) -> list[Answer]:
    """`count` requests of so many clients, a third of them twice; `events` happen after so many answers."""
    answers: list[Answer] = []
    lock = threading.Lock()

    def one(number: int) -> None:
        answer = send(site, number)
        with lock:
            answers.append(answer)

    def work() -> Iterator[int]:
        for number in range(count):
            yield number
            if number % AGAIN == 0:
                # Now, beside the first one; or much later.
                yield number if number % 2 else max(0, number - 5 * CLIENTS // AGAIN * AGAIN)

    with ThreadPoolExecutor(CLIENTS) as pool:
        sent = [pool.submit(one, number) for number in work()]
        for after, event in events.items():
            wait_until(lambda after=after: len(answers) >= after, seconds=120, event=f"the first {after} answers")
            event()
        for future in sent:
            future.result()
    return answers


def chaos(make_site: Callable[..., Site], count: int, *, kill_web: bool) -> None:
    site = make_site(RECOVERY_INTERVAL_SECONDS="0.5", PREDICTION_WAIT_SECONDS="1")
    site.start_redis()
    worker = site.start_worker()
    site.start_default_worker()
    web = site.start_web()

    def end_the_worker() -> None:
        worker.kill()
        site.start_worker(ready=False)

    def end_the_web_server() -> None:
        web.kill()
        site.start_web()

    events = {count // 2: end_the_worker}
    if kill_web:
        events[count * 3 // 4] = end_the_web_server
    answers = send_all(site, count, events)
    assert {one.number for one in answers} == set(range(count))
    by_number: dict[int, set[Answer]] = {}
    for one in answers:
        by_number.setdefault(one.number, set()).add(one)
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


def test_of_a_hundred_drawings_sent_by_32_programs_each_is_there_once(make_site) -> None:
    chaos(make_site, 100, kill_web=False)


@pytest.mark.acceptance
@pytest.mark.both_databases
@pytest.mark.parametrize("kill_web", [False, True])
def test_of_a_thousand_drawings_sent_by_32_programs_each_is_there_once(make_site, kill_web) -> None:
    chaos(make_site, 1000, kill_web=kill_web)
