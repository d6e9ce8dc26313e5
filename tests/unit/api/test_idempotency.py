"""The same request, sent again because its answer was lost: stored once, answered the same."""

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
from recognizer.services.submissions import intake, service
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
def test_the_same_key_and_body_get_the_same_answer_and_store_once(body, anonymous_client):
    first = send(anonymous_client, body)
    assert first.status_code in (202, 207)
    count = Submission.objects.count()
    assert_same(first, send(anonymous_client, body))
    assert Submission.objects.count() == count


def test_a_form_is_the_same_whatever_its_boundary_and_another_one_with_another_picture(anonymous_client):
    first = send_form(anonymous_client)
    assert first.status_code == 202
    assert_same(first, send_form(anonymous_client, name="another-name.png"))
    assert send_form(anonymous_client, seed=3).status_code == 422
    assert Submission.objects.count() == 1


def test_a_picture_as_it_is_has_its_key_too(anonymous_client):
    answers = [
        anonymous_client.post(ADDRESS + query, png(digit()), content_type="image/png", headers={"Idempotency-Key": KEY})
        for query in ("", "", "?may_train=false")
    ]
    assert_same(*answers[:2])
    assert answers[2].status_code == 422


def test_another_body_with_the_same_key_is_refused(anonymous_client):
    send(anonymous_client)
    response = send(anonymous_client, {"strokes": SEVEN, "may_train": False})
    assert (response.status_code, response.json()["code"]) == (422, "key_reused")
    assert Submission.objects.count() == 1


def test_two_people_may_use_the_same_key(anonymous_client, owner_client, other_client, reviewer_client):
    ids = {send(client).json()["id"] for client in (anonymous_client, owner_client, other_client, reviewer_client)}
    assert len(ids) == Submission.objects.count() == 4


def test_a_key_may_stand_in_quotes_and_must_be_one(anonymous_client):
    assert_same(send(anonymous_client, key=f'"{KEY}"'), send(anonymous_client))
    for bad in ("", '""', "k" * 256, "schl\u00fcssel"):
        response = send(anonymous_client, key=bad)
        assert response.status_code == 400, bad
        assert list(response.json()["errors"]) == ["Idempotency-Key"]


def test_a_refusal_is_not_kept_so_the_key_is_good_for_the_right_body(anonymous_client):
    assert send(anonymous_client, {"strokes": []}).status_code == 422
    assert not IdempotencyKey.objects.exists()
    assert send(anonymous_client).status_code == 202


def test_a_batch_of_which_nothing_was_stored_is_not_kept_either(anonymous_client):
    """Or whoever sends nonsense would fill the disk with answers, past every quota."""
    for body in ([{}] * 100, [{"strokes": []}]):
        response = send(anonymous_client, body)
        assert (response.status_code, "Idempotent-Replayed" in response.headers) == (207, False)
        assert not IdempotencyKey.objects.exists()
    assert send(anonymous_client).status_code == 202


def test_a_fault_of_ours_is_not_kept(anonymous_client, monkeypatch):
    anonymous_client.raise_request_exception = False
    with monkeypatch.context() as broken:
        broken.setattr(service, "create_submission", None)
        assert send(anonymous_client).status_code == 500
    assert send(anonymous_client).status_code == 202


def test_while_the_first_is_being_answered_the_second_is_told_to_come_back(anonymous_client, monkeypatch):
    answers = []

    def ask_again(*_given: object) -> None:
        answers.append(send(anonymous_client))

    monkeypatch.setattr(fsync, "flush", ask_again)
    assert send(anonymous_client).status_code == 202
    [second] = answers
    assert (second.status_code, second.json()["code"], second.headers["Retry-After"]) == (409, "in_progress", "1")
    assert Submission.objects.count() == 1


# --- Whatever dies, nothing is lost and nothing doubled ------------------------------------------------------------


def let_time_pass(seconds: float) -> None:
    """As if it had passed for every key."""
    for row in IdempotencyKey.objects.all():
        past = timedelta(seconds=seconds)
        IdempotencyKey.objects.filter(pk=row.pk).update(busy_until=row.busy_until - past, expires=row.expires - past)


class Death(BaseException):
    """The process is gone: nothing that would tidy up runs."""


def die(*_given: object, **_named: object) -> None:
    raise Death


@pytest.fixture
def death_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AbstractContextManager[None]]:
    """Within, the process dies where it comes to this function, and no key is given back."""

    @contextmanager
    def dying(module: object, name: str) -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setattr(idempotency, "release", lambda _claim: None)
            patched.setattr(module, name, die)
            with pytest.raises(Death):
                yield

    return dying


@pytest.mark.parametrize("body", [{"strokes": SEVEN}, [{"strokes": SEVEN}, {"strokes": []}]])
def test_a_crash_after_storing_neither_locks_the_key_nor_stores_twice(body, anonymous_client, death_at):
    with death_at(fsync, "flush"):
        send(anonymous_client, body)
    stored = Submission.objects.get()
    assert send(anonymous_client, body).status_code == 409  # for all that is known, the first one is still at work
    let_time_pass(60)
    again = send(anonymous_client, body)
    items = again.json() if isinstance(body, list) else [{"submission": again.json()}]
    assert items[0]["submission"]["id"] == stored.public_id
    assert [one["status"] for one in items if "problem" in one] == [422] * (len(items) - 1)
    assert_same(again, send(anonymous_client, body))
    assert Submission.objects.count() == 1


def test_a_crash_before_storing_does_not_lock_the_key(anonymous_client, death_at):
    with death_at(service, "create_submission"):
        send(anonymous_client)
    assert send(anonymous_client).status_code == 409
    let_time_pass(61)
    assert send(anonymous_client).status_code == 202
    assert Submission.objects.count() == 1


def test_what_was_stored_and_deleted_since_is_not_stored_again(anonymous_client, death_at):
    with death_at(fsync, "flush"):
        send(anonymous_client)
    Submission.objects.all().delete()
    let_time_pass(60)
    for _ in range(2):
        response = send(anonymous_client)
        assert (response.status_code, response.headers["Content-Type"]) == (410, "application/problem+json")
    assert not Submission.objects.exists()


def test_an_attempt_that_was_slow_and_not_dead_stores_nothing_once_another_took_over(visitor):
    slow = idempotency.acquire(actor=visitor, key=KEY, fingerprint="1")
    let_time_pass(61)
    quick = idempotency.acquire(actor=visitor, key=KEY, fingerprint="1")
    assert isinstance(quick, Claim)

    def store(claim: Claim) -> None:
        service.create_submission(
            actor=visitor,
            payload=intake.SubmissionInput(source="api", strokes=SEVEN),
            within=lambda stored: idempotency.record(claim, stored),
        )

    store(quick)
    with pytest.raises(InProgressError):
        store(slow)
    idempotency.release(slow)
    assert Submission.objects.count() == IdempotencyKey.objects.count() == 1


def test_after_a_day_a_key_is_as_new_and_is_swept(anonymous_client):
    first = send(anonymous_client).json()["id"]
    let_time_pass(24 * 3600 - 60)
    assert idempotency.delete_expired() == 0
    assert send(anonymous_client).json()["id"] == first
    let_time_pass(61)
    assert send(anonymous_client, {"strokes": SEVEN, "may_train": False}).json()["id"] != first
    let_time_pass(24 * 3600 + 1)
    assert idempotency.delete_expired() == 1
    assert not IdempotencyKey.objects.exists()


def test_no_address_is_kept(anonymous_client):
    send(anonymous_client)
    assert "127.0.0.1" not in IdempotencyKey.objects.get().scope
