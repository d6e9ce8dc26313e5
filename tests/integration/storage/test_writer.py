"""Group commit of submissions: concurrent requests share a transaction, and a failed one does not affect the others."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from PIL import Image

from digitsite.testing.site import wait_until
from ml.serving.images import ImageHeader
from recognizer.models import IdempotencyKey, Source, Submission
from recognizer.services.identity import idempotency, quotas
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.idempotency import Claim
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.images import storage
from recognizer.services.images.storage import Pixels, Size
from recognizer.services.lib import bulk_insert
from recognizer.services.submissions import service, writer
from recognizer.services.submissions.intake import SubmissionInput
from tests.image_samples import digit, png

VISITOR = Actor(visitor="a" * 32)


@pytest.fixture
def inserts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of rows that each transaction inserted, in order."""
    sizes: list[int] = []
    insert = bulk_insert.insert

    def watched(rows: list[Submission]) -> None:
        sizes.append(len(rows))
        insert(rows)

    monkeypatch.setattr(bulk_insert, "insert", watched)
    return sizes


@pytest.fixture
def run_concurrently(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Submission | Exception]]:
    """Return a function that runs requests while the transaction of another one is open.

    It returns their results or exceptions.
    """
    is_open, may_continue = threading.Event(), threading.Event()
    consume = quotas.consume

    def consume_slowly(**options: object) -> None:
        is_open.set()
        assert may_continue.wait(10)
        consume(**options)

    def run(*requests: Callable[[], Submission]) -> list[Submission | Exception]:
        is_open.clear()
        may_continue.clear()
        with ThreadPoolExecutor(len(requests) + 1) as pool:
            first = pool.submit(send, 0)
            assert is_open.wait(10)
            futures = []
            for request in requests:
                futures.append(pool.submit(request))
                wait_until(lambda: writer.group.queue_length == len(futures))
            may_continue.set()
            first.result(20)
            return [future.exception(20) or future.result() for future in futures]

    monkeypatch.setattr(quotas, "consume", consume_slowly)
    may_continue.set()
    return run


def send(seed: int, *, actor: Actor = VISITOR, claim: Claim | None = None) -> Submission:
    try:
        payload = SubmissionInput(source=Source.API, image=png(digit(seed=seed)))
        return service.create_submission(actor=actor, payload=payload, claim=claim)
    finally:
        connections.close_all()


def test_requests_during_a_transaction_share_the_next_one(site_context, inserts, run_concurrently):
    stored = run_concurrently(*(partial(send, seed) for seed in range(1, 9)))
    assert inserts == [1, 8]
    assert len({row.pk for row in stored}) == 8
    for row in stored:
        assert Submission.objects.get(pk=row.pk).digest == row.digest


def test_request_above_the_quota_does_not_affect_the_others(site_context, run_concurrently, settings):
    settings.SUBMISSIONS_PER_DAY = (1, 1)
    sender = Actor(visitor="b" * 32, address="192.0.2.7")
    send(20, actor=sender)
    *stored, error = run_concurrently(partial(send, 1), partial(send, 2), partial(send, 21, actor=sender))
    assert isinstance(error, quotas.QuotaError)
    assert Submission.objects.filter(pk__in=[row.pk for row in stored]).count() == 2
    assert Submission.objects.filter(visitor=sender.visitor).count() == 1


def test_request_whose_key_another_attempt_acquired_does_not_affect_the_others(site_context, run_concurrently):
    claim = idempotency.acquire(actor=VISITOR, key="k", fingerprint="f")
    IdempotencyKey.objects.update(attempt="another")
    good, bad, also_good = run_concurrently(partial(send, 1), partial(send, 2, claim=claim), partial(send, 3))
    assert isinstance(bad, idempotency.InProgressError)
    assert Submission.objects.filter(pk__in=[good.pk, also_good.pk]).count() == 2
    assert Submission.objects.count() == 3


def test_request_of_a_deleted_account_is_rejected_and_does_not_affect_the_others(
    site_context, inserts, run_concurrently
):
    user = User.objects.create_user("gone")
    actor = Actor(user=User.objects.get(pk=user.pk))
    user.delete()
    good, error, also_good = run_concurrently(partial(send, 1), partial(send, 2, actor=actor), partial(send, 3))
    assert isinstance(error, NotAllowedError)
    assert Submission.objects.filter(pk__in=[good.pk, also_good.pk]).count() == 2
    assert Submission.objects.count() == 3
    assert inserts == [1, 3, 1, 1, 1]


def test_drawings_are_stored_while_a_photograph_is_decoded(site_context, monkeypatch):
    is_decoding, may_continue = threading.Event(), threading.Event()
    decode = storage.decode

    def decode_large_images_slowly(header: ImageHeader, *, caller: str) -> tuple[Pixels, Size]:
        if header.pixels > 1_000_000:
            is_decoding.set()
            assert may_continue.wait(10)
        return decode(header, caller=caller)

    monkeypatch.setattr(storage, "decode", decode_large_images_slowly)
    large = png(Image.new("1", (3000, 3000)))
    with ThreadPoolExecutor(1) as pool:
        photograph = pool.submit(
            service.create_submission, actor=VISITOR, payload=SubmissionInput(source=Source.API, image=large)
        )
        assert is_decoding.wait(10)
        send(1)
        assert not photograph.done()
        may_continue.set()
        assert photograph.exception(20).code == "blank"


def test_rows_are_stored_in_the_callers_transaction_if_there_is_one(site_context, inserts):
    with transaction.atomic():
        service.create_submission(actor=VISITOR, payload=SubmissionInput(source=Source.API, image=png(digit())))
        transaction.set_rollback(True)
    assert inserts == [1]
    assert Submission.objects.count() == 0
