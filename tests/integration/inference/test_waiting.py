"""Requests that were stored together wait together, each for its own timeout."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.conf import settings
from django.db import OperationalError, connections, transaction

from digitsite.testing.site import Part, Site, wait_until
from recognizer.models import Source, Submission, SubmissionState
from recognizer.services.identity import quotas
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import producer, result_messages, streams
from recognizer.services.lib import request_context
from recognizer.services.submissions import intake, service, writer
from recognizer.services.submissions.intake import SubmissionInput
from recognizer.services.submissions.writer import WriteRequest
from tests.image_samples import digit, png

VISITOR = Actor(visitor="a" * 32)
# A request that is blocked by one with this timeout takes as long.
LONG_WAIT_SECONDS = 1.5


@pytest.fixture
def worker(site: Site) -> Part:
    site.start_redis()
    worker = site.start_worker()
    with site.entered():
        wait_until(streams.consumer_alive)
    return worker


def make_input(seed: int) -> SubmissionInput:
    return SubmissionInput(source=Source.API, image=png(digit(seed=seed)))


def send(seed: int, timeout: float) -> tuple[Submission, float]:
    """Store a submission; return it and the duration in seconds."""
    started = time.monotonic()
    try:
        row = service.create_submission(actor=VISITOR, payload=make_input(seed), wait=timeout > 0, timeout=timeout)
    finally:
        connections.close_all()
    return row, time.monotonic() - started


def send_many(count: int, timeout: float) -> tuple[list[Submission], float]:
    started = time.monotonic()
    try:
        items = intake.prepare_all([make_input(seed) for seed in range(count)], actor=VISITOR)
        rows = writer.store(WriteRequest(actor=VISITOR, items=items, wait=timeout > 0, timeout=timeout))
    finally:
        connections.close_all()
    return rows, time.monotonic() - started


@pytest.fixture
def store_together(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple]]:
    """Return a function that runs requests so that they are stored in one transaction, led by the first.

    It returns their results.
    """
    is_held, may_go = threading.Event(), threading.Event()
    consume = quotas.consume

    def consume_slowly(**options: object) -> None:
        is_held.set()
        assert may_go.wait(10)
        consume(**options)

    def store(*requests: Callable[[], tuple]) -> list[tuple]:
        is_held.clear()
        may_go.clear()
        with ThreadPoolExecutor(len(requests) + 1) as pool:
            before = pool.submit(send, 1000, 0)
            assert is_held.wait(10)
            futures: list[Future] = []
            for request in requests:
                futures.append(pool.submit(request))
                wait_until(lambda: writer.group.queue_length == len(futures))
            may_go.set()
            before.result(20)
            return [future.result(20) for future in futures]

    monkeypatch.setattr(quotas, "consume", consume_slowly)
    may_go.set()
    return store


def freeze(worker: Part) -> None:
    """Freeze the worker while it is idle. In a transaction it would hold SQLite's lock and block all writers."""
    row, _ = send(2000, 2)
    assert is_predicted(row)
    worker.freeze()


def is_predicted(row: Submission) -> bool:
    return row.state == SubmissionState.PREDICTED and row.latest_prediction.submission_id == row.pk


def test_requests_stored_together_get_their_own_predictions(site: Site, worker: Part, store_together) -> None:
    with site.entered():
        outcomes = store_together(*(lambda seed=seed: send(seed, 2) for seed in range(12)))
        assert all(is_predicted(row) for row, _ in outcomes)
        assert len({row.latest_prediction_id for row, _ in outcomes}) == 12


def record_waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the number of submissions that each leader waits for."""
    waits: list[int] = []
    wait = producer.wait
    monkeypatch.setattr(
        producer, "wait", lambda submissions, **options: waits.append(len(submissions)) or wait(submissions, **options)
    )
    return waits


def test_one_request_waits_for_whole_group(site: Site, worker: Part, monkeypatch, store_together) -> None:
    with site.entered():
        waits = record_waits(monkeypatch)
        store_together(*(lambda seed=seed: send(seed, 2) for seed in range(5)))
        assert [count for count in waits if count] == [5]


def test_log_lines_during_wait_name_all_submissions_of_group(
    site: Site, worker: Part, monkeypatch, store_together
) -> None:
    logged_ids: list[list[int]] = []

    def send_traced(seed: int) -> tuple[Submission, float]:
        _, trace = request_context.begin()
        try:
            row, duration = send(seed, 2)
            logged_ids.append(request_context.facts()["submissions"])
            return row, duration
        finally:
            request_context.end(trace)

    with site.entered():
        wait = producer.wait
        waiting: list[list[int]] = []

        def wait_and_look(submissions: list[Submission], **options: float) -> None:
            waiting.append(request_context.facts()["submissions"])
            wait(submissions, **options)

        monkeypatch.setattr(producer, "wait", wait_and_look)
        ids = {row.pk for row, _ in store_together(*(lambda seed=seed: send_traced(seed) for seed in range(3)))}
        assert [set(future) for future in waiting] == [ids]
        # Afterwards each request logs its own submission.
        assert sorted(logged_ids) == [[pk] for pk in sorted(ids)]


@pytest.mark.parametrize(
    "order",
    [
        (0, LONG_WAIT_SECONDS, LONG_WAIT_SECONDS),
        (LONG_WAIT_SECONDS, 0, LONG_WAIT_SECONDS),
        (LONG_WAIT_SECONDS, LONG_WAIT_SECONDS, 0),
        (0.3, LONG_WAIT_SECONDS, 0),
    ],
)
def test_each_request_waits_for_its_own_timeout(order, site: Site, worker: Part, store_together) -> None:
    with site.entered():
        freeze(worker)
        results = store_together(*(lambda seed=seed, wait=wait: send(seed, wait) for seed, wait in enumerate(order)))
        for wait, (row, duration) in zip(order, results, strict=True):
            assert row.state == SubmissionState.PENDING
            assert duration >= wait
            assert wait == LONG_WAIT_SECONDS or duration < LONG_WAIT_SECONDS
        worker.thaw()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_request_does_not_wait_for_large_batch_of_its_group(
    order, site: Site, worker: Part, monkeypatch, store_together
) -> None:
    """The same holds the other way round, in either order."""
    with site.entered():
        waits = record_waits(monkeypatch)
        requests = [lambda: send_many(70, 2), lambda: send(98, 2), lambda: send(99, 2)]
        outcomes = dict(zip(order, store_together(*(requests[number] for number in order)), strict=True))
        assert all(is_predicted(row) for row in (*outcomes[0][0], outcomes[1][0], outcomes[2][0]))
        assert max(waits) == 70
        assert sum(waits) == 72


def test_error_during_group_wait_fails_no_request(site: Site, worker: Part, store_together, monkeypatch) -> None:
    """The submissions are stored, so the responses are 202."""
    with site.entered():
        apply_result = result_messages.apply_result
        applied: list[int] = []

        def fail_once(row: Submission, message: bytes) -> None:
            applied.append(row.pk)
            if len(applied) == 3:
                raise OperationalError("the database is locked")
            apply_result(row, message)

        monkeypatch.setattr(result_messages, "apply_result", fail_once)
        outcomes = store_together(*(lambda seed=seed: send(seed, 2) for seed in range(5)))
        assert [is_predicted(row) for row, _ in outcomes].count(True) >= 2
        assert Submission.objects.count() == 6


def test_group_size_is_limited_to_half_of_wait_slots(site: Site, worker: Part, monkeypatch, store_together) -> None:
    waits, wait_slots = [], producer.wait_slots
    monkeypatch.setattr(producer, "wait_slots", lambda callers: waits.append(len(callers)) or wait_slots(callers))
    with site.entered():
        outcomes = store_together(*(lambda seed=seed: send(seed, LONG_WAIT_SECONDS) for seed in range(60)))
    assert len(outcomes) == sum(waits) == 60
    assert max(waits) == settings.MAX_WAITING_REQUESTS * 3 // 8


def test_request_returns_immediately_without_free_wait_slot(make_site, store_together) -> None:
    site = make_site(MAX_WAITING_REQUESTS="3")  # of which one caller may use two
    site.start_redis()
    worker = site.start_worker()
    with site.entered():
        freeze(worker)
        duration = sorted(
            seconds
            for _, seconds in store_together(*(lambda seed=seed: send(seed, LONG_WAIT_SECONDS) for seed in range(4)))
        )
        assert duration[1] < LONG_WAIT_SECONDS <= duration[2]
        # All slots are free again.
        assert producer.waiting_requests(3).free == 3
        worker.thaw()


def test_request_does_not_wait_inside_transaction(site: Site, worker: Part, monkeypatch) -> None:
    with site.entered():
        waits = record_waits(monkeypatch)
        with transaction.atomic():
            row = service.create_submission(actor=VISITOR, payload=make_input(1), wait=True, timeout=2)
        assert not any(waits)
        producer.enqueue_and_wait([row], timeout=5, caller="a")
        assert is_predicted(row)
