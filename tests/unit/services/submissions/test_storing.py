"""Group commit of submissions: concurrent requests share a transaction, and a failed one does not affect the others."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from PIL import Image

from digitsite.testing.site import wait_until
from ml.serving.images import ImageHeader
from recognizer.models import Source, Submission
from recognizer.services.identity import quotas
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.images import storage
from recognizer.services.images.storage import DecodedImage
from recognizer.services.submissions import service, storing
from recognizer.services.submissions.intake import SubmissionInput, SubmissionRejectedError
from tests.image_samples import digit, png

VISITOR = Actor(visitor="a" * 32)


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of write requests of each transaction, in order."""
    sizes: list[int] = []
    write = storing._write

    def watched(parcels: list[storing.Parcel]) -> None:
        sizes.append(len(parcels))
        write(parcels)

    monkeypatch.setattr(storing, "_write", watched)
    return sizes


class Blocker:
    """Keeps the first transaction open until the test releases it."""

    def __init__(self) -> None:
        self.is_blocking, self.may_continue = threading.Event(), threading.Event()

    def block(self, _stored: object) -> None:
        self.is_blocking.set()
        assert self.may_continue.wait(10)


def send(seed: int, *, actor: Actor = VISITOR, within: Callable | None = None) -> Submission:
    try:
        return service.create_submission(
            actor=actor, payload=SubmissionInput(source=Source.API, image=png(digit(seed=seed))), within=within
        )
    finally:
        connections.close_all()


def run_concurrently(requests: list[Callable[[], Submission]]) -> list[Submission | Exception]:
    """Run requests while the transaction of another one is open; return their results or exceptions."""
    blocker = Blocker()
    with ThreadPoolExecutor(len(requests) + 1) as pool:
        first = pool.submit(send, 0, within=blocker.block)
        assert blocker.is_blocking.wait(10)
        futures = [pool.submit(request) for request in requests]
        wait_until(lambda: len(storing._gathering._waiting) == len(requests))
        blocker.may_continue.set()
        first.result(20)
        return [future.exception(20) or future.result() for future in futures]


def test_requests_during_a_transaction_share_the_next_one(site_context, transactions):
    stored = run_concurrently([lambda seed=seed: send(seed) for seed in range(1, 9)])
    assert transactions == [1, 8]
    assert len({row.pk for row in stored}) == 8
    for row in stored:
        assert Submission.objects.get(pk=row.pk).digest == row.digest


def test_request_above_the_quota_does_not_affect_the_others(site_context, transactions, settings):
    settings.SUBMISSIONS_PER_DAY = (1, 1)
    sender = Actor(visitor="b" * 32, address="192.0.2.7")
    send(20, actor=sender)
    transactions.clear()
    *stored, error = run_concurrently([lambda: send(1), lambda: send(2), lambda: send(21, actor=sender)])
    assert isinstance(error, quotas.QuotaError)
    assert Submission.objects.filter(pk__in=[row.pk for row in stored]).count() == 2
    assert Submission.objects.filter(visitor=sender.visitor).count() == 1
    assert transactions == [1, 3, 1, 1, 1]


def test_error_of_one_request_in_the_transaction_reaches_only_that_request(site_context):
    def fail(_stored: object) -> None:
        raise RuntimeError("acquired by another attempt")

    good, bad, also_good = run_concurrently([lambda: send(1), lambda: send(2, within=fail), lambda: send(3)])
    assert isinstance(bad, RuntimeError)
    assert Submission.objects.filter(pk__in=[good.pk, also_good.pk]).count() == 2
    assert Submission.objects.count() == 3


def test_request_of_a_deleted_account_is_rejected_and_does_not_affect_the_others(site_context, transactions):
    user = User.objects.create_user("gone")
    actor = Actor(user=User.objects.get(pk=user.pk))
    user.delete()
    good, error, also_good = run_concurrently([lambda: send(1), lambda: send(2, actor=actor), lambda: send(3)])
    assert isinstance(error, NotAllowedError)
    assert Submission.objects.filter(pk__in=[good.pk, also_good.pk]).count() == 2
    assert Submission.objects.count() == 3
    assert transactions == [1, 3, 1, 1, 1]


def test_damaged_image_does_not_affect_the_other_requests(site_context, transactions):
    whole = png(digit(280, seed=9))

    def send_damaged() -> Submission:
        return service.create_submission(
            actor=VISITOR, payload=SubmissionInput(source=Source.API, image=whole[: len(whole) // 2])
        )

    good, damaged, also_good = run_concurrently([lambda: send(1), send_damaged, lambda: send(3)])
    assert isinstance(damaged, SubmissionRejectedError)
    assert damaged.code == "truncated"
    assert Submission.objects.filter(pk__in=[good.pk, also_good.pk]).count() == 2
    assert transactions == [1, 2]


def test_drawings_are_stored_while_a_photograph_is_decoded(site_context, monkeypatch):
    is_decoding, may_continue = threading.Event(), threading.Event()
    decode = storage.decode

    def decode_large_images_slowly(header: ImageHeader, *, caller: str) -> DecodedImage:
        if not storage.is_cheap_to_decode(header):
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


def test_rows_are_stored_in_the_callers_transaction_if_there_is_one(site_context, transactions):
    with transaction.atomic():
        service.create_submission(actor=VISITOR, payload=SubmissionInput(source=Source.API, image=png(digit())))
        transaction.set_rollback(True)
    assert transactions == [1]
    assert Submission.objects.count() == 0
