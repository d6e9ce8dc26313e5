"""Idempotency keys: a repeated request is executed once and gets the stored response."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from recognizer.models import IdempotencyKey, Submission
from recognizer.services.identity import idempotency
from recognizer.services.identity.idempotency import Claim, InProgressError
from recognizer.services.lib import fsync
from recognizer.services.submissions import intake, service, writer
from tests.image_samples import SEVEN, digit, png

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from django.http import HttpResponse
    from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

ADDRESS = "/api/v1/submissions"
KEY = "5f0c7f4e-0a3b-4a53-9a56-3d1a2f0e7d11"


def send(client: Client, body: object = None, *, key: str = KEY) -> HttpResponse:
    text = json.dumps({"strokes": SEVEN} if body is None else body)
    return client.post(ADDRESS, text, content_type="application/json", headers={"Idempotency-Key": key})


def send_form(client: Client, seed: int = 0, *, name: str = "digit.png") -> HttpResponse:
    file = io.BytesIO(png(digit(seed=seed)))
    file.name = name
    return client.post(ADDRESS, {"image": file, "may_train": "false"}, headers={"Idempotency-Key": KEY})


def assert_same(first: HttpResponse, again: HttpResponse) -> None:
    assert (first.status_code, first.content) == (again.status_code, again.content)
    for name in ("Location", "Retry-After", "Content-Type"):
        assert first.headers.get(name) == again.headers.get(name)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("body", [{"strokes": SEVEN}, [{"strokes": SEVEN}, {"strokes": []}, {"strokes": SEVEN}]])
def test_repeated_request_gets_the_stored_response(body, anonymous_client):
    first = send(anonymous_client, body)
    assert first.status_code in (202, 207)
    count = Submission.objects.count()
    assert_same(first, send(anonymous_client, body))
    assert Submission.objects.count() == count


def test_form_is_identified_by_its_fields_and_not_by_its_boundary(anonymous_client):
    first = send_form(anonymous_client)
    assert first.status_code == 202
    assert_same(first, send_form(anonymous_client, name="another-name.png"))
    assert send_form(anonymous_client, seed=3).status_code == 422
    assert Submission.objects.count() == 1


def test_image_body_supports_idempotency_keys(anonymous_client):
    answers = [
        anonymous_client.post(ADDRESS + query, png(digit()), content_type="image/png", headers={"Idempotency-Key": KEY})
        for query in ("", "", "?may_train=false")
    ]
    assert_same(*answers[:2])
    assert answers[2].status_code == 422


def test_key_with_a_different_body_is_rejected(anonymous_client):
    send(anonymous_client)
    response = send(anonymous_client, {"strokes": SEVEN, "may_train": False})
    assert (response.status_code, response.json()["code"]) == (422, "key_reused")
    assert Submission.objects.count() == 1


def test_keys_of_different_clients_are_independent(anonymous_client, owner_client, other_client, reviewer_client):
    ids = {send(client).json()["id"] for client in (anonymous_client, owner_client, other_client, reviewer_client)}
    assert len(ids) == Submission.objects.count() == 4


def test_quoted_key_is_accepted_and_malformed_key_is_rejected(anonymous_client):
    assert_same(send(anonymous_client, key=f'"{KEY}"'), send(anonymous_client))
    for bad in ("", '""', "k" * 256, "schl\u00fcssel"):
        response = send(anonymous_client, key=bad)
        assert response.status_code == 400, bad
        assert list(response.json()["errors"]) == ["Idempotency-Key"]


def test_rejected_request_does_not_use_up_its_key(anonymous_client):
    assert send(anonymous_client, {"strokes": []}).status_code == 422
    assert not IdempotencyKey.objects.exists()
    assert send(anonymous_client).status_code == 202


def test_batch_without_stored_submissions_does_not_use_up_its_key(anonymous_client):
    """Otherwise clients could fill the disk with responses that no quota limits."""
    for body in ([{}] * 100, [{"strokes": []}]):
        response = send(anonymous_client, body)
        assert (response.status_code, "Idempotent-Replayed" in response.headers) == (207, False)
        assert not IdempotencyKey.objects.exists()
    assert send(anonymous_client).status_code == 202


def test_server_error_does_not_use_up_the_key(anonymous_client, monkeypatch):
    anonymous_client.raise_request_exception = False
    with monkeypatch.context() as broken:
        broken.setattr(writer, "store", None)
        assert send(anonymous_client).status_code == 500
    assert send(anonymous_client).status_code == 202


def test_concurrent_repetition_is_409_with_retry_after(anonymous_client, monkeypatch):
    answers = []

    def send_again(*_args: object) -> None:
        answers.append(send(anonymous_client))

    monkeypatch.setattr(fsync, "flush", send_again)
    assert send(anonymous_client).status_code == 202
    [second] = answers
    assert (second.status_code, second.json()["code"], second.headers["Retry-After"]) == (409, "in_progress", "1")
    assert Submission.objects.count() == 1


# --- Crashes: nothing is lost and nothing is stored twice ----------------------------------------------------------


def age_keys(seconds: float) -> None:
    """Move the times of all keys into the past."""
    for row in IdempotencyKey.objects.all():
        past = timedelta(seconds=seconds)
        IdempotencyKey.objects.filter(pk=row.pk).update(busy_until=row.busy_until - past, expires=row.expires - past)


class SimulatedCrash(BaseException):
    """Simulates the end of the process: no cleanup code runs."""


def crash(*_args: object, **_kwargs: object) -> None:
    raise SimulatedCrash


@pytest.fixture
def crash_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AbstractContextManager[None]]:
    """Return a context manager in which calling the given function simulates a crash that releases no key."""

    @contextmanager
    def crashing(module: object, name: str) -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setattr(idempotency, "release", lambda _claim: None)
            patched.setattr(module, name, crash)
            with pytest.raises(SimulatedCrash):
                yield

    return crashing


@pytest.mark.parametrize("body", [{"strokes": SEVEN}, [{"strokes": SEVEN}, {"strokes": []}]])
def test_crash_after_storing_does_not_lock_the_key_or_store_twice(body, anonymous_client, crash_at):
    with crash_at(fsync, "flush"):
        send(anonymous_client, body)
    stored = Submission.objects.get()
    assert send(anonymous_client, body).status_code == 409  # the first request may still be running
    age_keys(60)
    again = send(anonymous_client, body)
    items = again.json() if isinstance(body, list) else [{"submission": again.json()}]
    assert items[0]["submission"]["id"] == stored.public_id
    assert [item["status"] for item in items if "problem" in item] == [422] * (len(items) - 1)
    assert_same(again, send(anonymous_client, body))
    assert Submission.objects.count() == 1


def test_crash_before_storing_does_not_lock_the_key(anonymous_client, crash_at):
    with crash_at(writer, "store"):
        send(anonymous_client)
    assert send(anonymous_client).status_code == 409
    age_keys(61)
    assert send(anonymous_client).status_code == 202
    assert Submission.objects.count() == 1


def test_repeated_request_after_crash_and_deletion_is_410(anonymous_client, crash_at):
    with crash_at(fsync, "flush"):
        send(anonymous_client)
    Submission.objects.all().delete()
    age_keys(60)
    for _ in range(2):
        response = send(anonymous_client)
        assert (response.status_code, response.headers["Content-Type"]) == (410, "application/problem+json")
    assert not Submission.objects.exists()


def test_slow_attempt_stores_nothing_after_another_took_over(visitor):
    slow = idempotency.acquire(actor=visitor, key=KEY, fingerprint="1")
    age_keys(61)
    quick = idempotency.acquire(actor=visitor, key=KEY, fingerprint="1")
    assert isinstance(quick, Claim)

    def store(claim: Claim) -> None:
        service.create_submission(
            actor=visitor,
            payload=intake.SubmissionInput(source="api", strokes=SEVEN),
            claim=claim,
        )

    store(quick)
    with pytest.raises(InProgressError):
        store(slow)
    idempotency.release(slow)
    assert Submission.objects.count() == IdempotencyKey.objects.count() == 1


def test_key_expires_after_a_day(anonymous_client):
    first = send(anonymous_client).json()["id"]
    age_keys(24 * 3600 - 60)
    assert idempotency.delete_expired() == 0
    assert send(anonymous_client).json()["id"] == first
    age_keys(61)
    assert send(anonymous_client, {"strokes": SEVEN, "may_train": False}).json()["id"] != first
    age_keys(24 * 3600 + 1)
    assert idempotency.delete_expired() == 1
    assert not IdempotencyKey.objects.exists()


def test_network_address_is_not_stored(anonymous_client):
    send(anonymous_client)
    assert "127.0.0.1" not in IdempotencyKey.objects.get().scope
