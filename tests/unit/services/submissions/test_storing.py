"""Requests of the same moment are stored in one transaction, and none of them suffers from another."""

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
    """How many parcels each transaction held, as they begin."""
    sizes: list[int] = []
    write = storing._write

    def watched(parcels: list[storing.Parcel]) -> None:
        sizes.append(len(parcels))
        write(parcels)

    monkeypatch.setattr(storing, "_write", watched)
    return sizes


class Door:
    """Holds the first transaction open until all others wait for theirs."""

    def __init__(self) -> None:
        self.is_held, self.may_go = threading.Event(), threading.Event()

    def hold(self, _stored: object) -> None:
        self.is_held.set()
        assert self.may_go.wait(10)


def send(seed: int, *, actor: Actor = VISITOR, within: Callable | None = None) -> Submission:
    try:
        return service.create_submission(
            actor=actor, payload=SubmissionInput(source=Source.API, image=png(digit(seed=seed))), within=within
        )
    finally:
        connections.close_all()


def together(others: list[Callable[[], Submission]]) -> list[Submission | Exception]:
    """What becomes of requests that come while another one's transaction is going on."""
    door = Door()
    with ThreadPoolExecutor(len(others) + 1) as pool:
        first = pool.submit(send, 0, within=door.hold)
        assert door.is_held.wait(10)
        sent = [pool.submit(other) for other in others]
        wait_until(lambda: len(storing._gathering._waiting) == len(others))
        door.may_go.set()
        first.result(20)
        return [one.exception(20) or one.result() for one in sent]


def test_those_who_come_meanwhile_share_the_next_transaction(site_context, transactions):
    stored = together([lambda seed=seed: send(seed) for seed in range(1, 9)])
    assert transactions == [1, 8]
    assert len({row.pk for row in stored}) == 8
    for row in stored:
        assert Submission.objects.get(pk=row.pk).digest == row.digest


def test_one_that_may_send_no_more_spoils_nothing_for_the_others(site_context, transactions, settings):
    settings.SUBMISSIONS_PER_DAY = (1, 1)
    full = Actor(visitor="b" * 32, address="192.0.2.7")
    send(20, actor=full)
    transactions.clear()
    *stored, refused = together([lambda: send(1), lambda: send(2), lambda: send(21, actor=full)])
    assert isinstance(refused, quotas.QuotaError)
    assert Submission.objects.filter(pk__in=[row.pk for row in stored]).count() == 2
    assert Submission.objects.filter(visitor=full.visitor).count() == 1
    assert transactions == [1, 3, 1, 1, 1]


def test_what_fails_within_one_request_s_transaction_is_told_to_that_one_alone(site_context):
    def fail(_stored: object) -> None:
        raise RuntimeError("taken over by another attempt")

    good, bad, also_good = together([lambda: send(1), lambda: send(2, within=fail), lambda: send(3)])
    assert isinstance(bad, RuntimeError)
    assert Submission.objects.filter(pk__in=[good.pk, also_good.pk]).count() == 2
    assert Submission.objects.count() == 3


def test_one_whose_account_was_deleted_meanwhile_is_told_so_and_spoils_nothing_for_the_others(
    site_context, transactions
):
    user = User.objects.create_user("gone")
    actor = Actor(user=User.objects.get(pk=user.pk))
    user.delete()
    good, refused, also_good = together([lambda: send(1), lambda: send(2, actor=actor), lambda: send(3)])
    assert isinstance(refused, NotAllowedError)
    assert Submission.objects.filter(pk__in=[good.pk, also_good.pk]).count() == 2
    assert Submission.objects.count() == 3
    assert transactions == [1, 3, 1, 1, 1]


def test_one_that_cannot_be_decoded_spoils_nothing_for_those_with_whom_it_came(site_context, transactions):
    whole = png(digit(280, seed=9))

    def send_damaged() -> Submission:
        return service.create_submission(
            actor=VISITOR, payload=SubmissionInput(source=Source.API, image=whole[: len(whole) // 2])
        )

    good, damaged, also_good = together([lambda: send(1), send_damaged, lambda: send(3)])
    assert isinstance(damaged, SubmissionRejectedError)
    assert damaged.code == "truncated"
    assert Submission.objects.filter(pk__in=[good.pk, also_good.pk]).count() == 2
    assert transactions == [1, 2]


def test_while_a_photograph_is_decoded_drawings_are_stored(site_context, monkeypatch):
    decoding, may_go_on = threading.Event(), threading.Event()
    decode = storage.decode

    def slow_for_large_ones(opened: ImageHeader, *, caller: str) -> DecodedImage:
        if not storage.is_cheap_to_decode(opened):
            decoding.set()
            assert may_go_on.wait(10)
        return decode(opened, caller=caller)

    monkeypatch.setattr(storage, "decode", slow_for_large_ones)
    large = png(Image.new("1", (3000, 3000)))
    with ThreadPoolExecutor(1) as pool:
        photograph = pool.submit(
            service.create_submission, actor=VISITOR, payload=SubmissionInput(source=Source.API, image=large)
        )
        assert decoding.wait(10)
        send(1)
        assert not photograph.done()
        may_go_on.set()
        assert photograph.exception(20).code == "blank"


def test_within_somebody_else_s_transaction_nobody_else_s_rows_are_stored(site_context, transactions):
    with transaction.atomic():
        service.create_submission(actor=VISITOR, payload=SubmissionInput(source=Source.API, image=png(digit())))
        transaction.set_rollback(True)
    assert transactions == [1]
    assert Submission.objects.count() == 0
