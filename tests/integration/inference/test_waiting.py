"""Requests that were stored together wait for their answers together, and each of them as long as it said."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.conf import settings
from django.db import OperationalError, connections, transaction

from digitsite.testing.site import Part, Site, wait_until
from recognizer.models import Source, Submission, SubmissionState
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import answers, handoff
from recognizer.services.lib import request_context
from recognizer.services.submissions import service, storing
from recognizer.services.submissions.intake import SubmissionInput, SubmissionRejectedError
from tests.image_samples import digit, png

VISITOR = Actor(visitor="a" * 32)
# How long the patient ones wait; whoever is held by them takes as long.
LONG = 1.5


@pytest.fixture
def worker(site: Site) -> Part:
    site.start_redis()
    return site.start_worker()


def sent(seed: int) -> SubmissionInput:
    return SubmissionInput(source=Source.API, image=png(digit(seed=seed)))


def send(seed: int, seconds: float | None, within: Callable | None = None) -> tuple[Submission, float]:
    """What was stored, and how long that took."""
    started = time.monotonic()
    try:
        row = service.create_submission(actor=VISITOR, payload=sent(seed), seconds=seconds, within=within)
    finally:
        connections.close_all()
    return row, time.monotonic() - started


def send_many(count: int, seconds: float) -> tuple[list[Submission | SubmissionRejectedError], float]:
    started = time.monotonic()
    try:
        rows = service.create_submissions(
            actor=VISITOR, payloads=[sent(seed) for seed in range(count)], seconds=seconds
        )
    finally:
        connections.close_all()
    return rows, time.monotonic() - started


def together(*requests: Callable[[], tuple]) -> list[tuple]:
    """What becomes of requests that are stored in one transaction, the first of them by its own thread."""
    is_held, may_go = threading.Event(), threading.Event()

    def hold(_stored: object) -> None:
        is_held.set()
        assert may_go.wait(10)

    with ThreadPoolExecutor(len(requests) + 1) as pool:
        before = pool.submit(send, 1000, 0, hold)
        assert is_held.wait(10)
        futures: list[Future] = []
        for request in requests:
            futures.append(pool.submit(request))
            wait_until(lambda: len(storing._gathering._waiting) == len(futures))
        may_go.set()
        before.result(20)
        return [one.result(20) for one in futures]


def freeze(worker: Part) -> None:
    """At rest: one that is stopped within a transaction holds SQLite's lock, and then nobody can store anything."""
    row, _ = send(2000, 2)
    assert is_answered(row)
    worker.freeze()


def is_answered(row: Submission) -> bool:
    return row.state == SubmissionState.PREDICTED and row.latest_prediction.submission_id == row.pk


def test_requests_stored_together_get_their_own_predictions(site: Site, worker: Part) -> None:
    with site.entered():
        answered = together(*(lambda seed=seed: send(seed, 2) for seed in range(12)))
        assert all(is_answered(row) for row, _ in answered)
        assert len({row.latest_prediction_id for row, _ in answered}) == 12


def watch(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For how many answers each thread waits that asks for some."""
    asked: list[int] = []
    replies = handoff.link().replies
    collect = replies.collect
    monkeypatch.setattr(replies, "collect", lambda keys, until: asked.append(len(keys)) or collect(keys, until))
    return asked


def test_one_request_waits_for_whole_group(site: Site, worker: Part, monkeypatch) -> None:
    with site.entered():
        asked = watch(monkeypatch)
        together(*(lambda seed=seed: send(seed, 2) for seed in range(5)))
        assert asked == [5]


def test_log_lines_during_wait_name_all_submissions_of_group(site: Site, worker: Part, monkeypatch) -> None:
    said: list[list[int]] = []

    def send_traced(seed: int) -> tuple[Submission, float]:
        _, trace = request_context.begin()
        try:
            row, took = send(seed, 2)
            said.append(request_context.facts()["submissions"])
            return row, took
        finally:
            request_context.end(trace)

    with site.entered():
        replies = handoff.link().replies
        collect = replies.collect
        waiting: list[list[int]] = []

        def collect_and_look(keys: list[bytes], until: float) -> dict[bytes, bytes]:
            waiting.append(request_context.facts()["submissions"])
            return collect(keys, until)

        monkeypatch.setattr(replies, "collect", collect_and_look)
        ids = {row.pk for row, _ in together(*(lambda seed=seed: send_traced(seed) for seed in range(3)))}
        assert [set(one) for one in waiting] == [ids]
        # Afterwards each says its own.
        assert sorted(said) == [[pk] for pk in sorted(ids)]


def test_unreadable_image_does_not_delay_group(site: Site, worker: Part) -> None:
    def send_damaged() -> tuple[SubmissionRejectedError, float]:
        whole = png(digit(280, seed=9))
        with pytest.raises(SubmissionRejectedError) as refused:
            service.create_submission(
                actor=VISITOR, payload=SubmissionInput(source=Source.API, image=whole[: len(whole) // 2]), seconds=2
            )
        return refused.value, 0

    with site.entered():
        for place in range(3):
            requests = [lambda seed=seed: send(seed, 2) for seed in range(2)]
            requests.insert(place, send_damaged)
            outcomes = [outcome for outcome, _ in together(*requests)]
            assert outcomes.pop(place).code == "truncated"
            assert all(is_answered(row) for row in outcomes)


@pytest.mark.parametrize("order", [(0, LONG, LONG), (LONG, 0, LONG), (LONG, LONG, 0), (0.3, LONG, 0)])
def test_each_request_waits_for_its_own_timeout(order, site: Site, worker: Part) -> None:
    with site.entered():
        freeze(worker)
        results = together(*(lambda seed=seed, wait=wait: send(seed, wait) for seed, wait in enumerate(order)))
        for wait, (row, took) in zip(order, results, strict=True):
            assert row.state == SubmissionState.PENDING
            assert took >= wait
            assert wait == LONG or took < LONG
        worker.thaw()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_request_does_not_wait_for_large_batch_of_its_group(order, site: Site, worker: Part, monkeypatch) -> None:
    """Nor do they for its own, whoever comes first."""
    with site.entered():
        asked = watch(monkeypatch)
        requests = [lambda: send_many(70, 2), lambda: send(98, 2), lambda: send(99, 2)]
        outcomes = dict(zip(order, together(*(requests[number] for number in order)), strict=True))
        assert all(is_answered(one) for one in (*outcomes[0][0], outcomes[1][0], outcomes[2][0]))
        assert max(asked) == 70
        assert sum(asked) == 72


def test_error_during_group_wait_fails_no_request(site: Site, worker: Part, monkeypatch) -> None:
    """They are stored, and each looks for its own answer then."""
    with site.entered():
        take = answers.take
        taken: list[int] = []

        def fail_once(row: Submission, message: bytes) -> None:
            taken.append(row.pk)
            if len(taken) == 3:
                raise OperationalError("the database is locked")
            take(row, message)

        monkeypatch.setattr(answers, "take", fail_once)
        answered = together(*(lambda seed=seed: send(seed, 2) for seed in range(5)))
        assert len(taken) == 3
        assert all(is_answered(row) for row, _ in answered)


def test_group_size_is_limited_to_half_of_wait_slots(site: Site, worker: Part, monkeypatch) -> None:
    asked, wait_slots = [], handoff.wait_slots
    monkeypatch.setattr(handoff, "wait_slots", lambda callers: asked.append(len(callers)) or wait_slots(callers))
    with site.entered():
        answered = together(*(lambda seed=seed: send(seed, LONG) for seed in range(60)))
    assert len(answered) == sum(asked) == 60
    assert max(asked) == settings.MAX_WAITING_REQUESTS * 3 // 8


def test_request_returns_immediately_without_free_wait_slot(make_site) -> None:
    site = make_site(MAX_WAITING_REQUESTS="3")  # of which one caller gets two
    site.start_redis()
    worker = site.start_worker()
    with site.entered():
        freeze(worker)
        took = sorted(seconds for _, seconds in together(*(lambda seed=seed: send(seed, LONG) for seed in range(4))))
        assert took[1] < LONG <= took[2]
        # Their slots are free again.
        assert handoff.link().waiting.free == 3
        worker.thaw()


def test_request_does_not_wait_inside_transaction(site: Site, worker: Part, monkeypatch) -> None:
    with site.entered():
        asked = watch(monkeypatch)
        with transaction.atomic():
            row = service.create_submission(actor=VISITOR, payload=sent(1), seconds=2)
        assert asked == []
        handoff.wait_for(row, 5)
        assert is_answered(row)
