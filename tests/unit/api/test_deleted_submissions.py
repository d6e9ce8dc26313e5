"""A deleted submission leaves nothing in the answers that are kept for requests that come again."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from recognizer.models import IdempotencyItem, IdempotencyKey, Submission
from recognizer.services.data import personal_data
from recognizer.services.identity import idempotency
from recognizer.services.identity.actors import Actor
from recognizer.services.lib import fsync
from recognizer.services.submissions import bulk_delete, retention
from tests.image_samples import SEVEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse
    from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

ADDRESS = "/api/v1/submissions"
SINGLE, BATCH = {"strokes": SEVEN}, [{"strokes": SEVEN}, {"strokes": []}, {"strokes": SEVEN}]


def send(client: Client, body: object) -> HttpResponse:
    return client.post(ADDRESS, json.dumps(body), content_type="application/json", headers={"Idempotency-Key": "1"})


def kept_text() -> str:
    """Everything that the rows of idempotency keys hold, but for the callers and their keys."""
    names = ("fingerprint", "stored", "status", "headers", "body")
    rows = [*IdempotencyKey.objects.values(*names), *IdempotencyItem.objects.values("submission_id")]
    return json.dumps(rows)


def by_its_sender(submission: Submission, owner_client: Client, _operating: Client) -> None:
    assert owner_client.delete(f"{ADDRESS}/{submission.public_id}").status_code == 204


def on_its_page(submission: Submission, owner_client: Client, _operating: Client) -> None:
    assert owner_client.post(reverse("submission-delete", args=[submission.public_id])).status_code == 302


def by_an_operator(submission: Submission, _owner: Client, operator_client: Client) -> None:
    assert operator_client.delete(f"{ADDRESS}/{submission.public_id}").status_code == 204


def in_bulk(submission: Submission, _owner: Client, operator_client: Client) -> None:
    chosen = {"s": submission.public_id, "act": "delete-now"}
    assert operator_client.post(reverse("history-bulk"), chosen).status_code == 302


def by_retention(submission: Submission, _owner: Client, _operating: Client) -> None:
    Submission.objects.filter(pk=submission.pk).update(created=timezone.now() - timedelta(days=2))
    assert retention.delete_expired_submissions() == 1


def with_everything_of_its_sender(submission: Submission, _owner: Client, _operating: Client) -> None:
    assert personal_data.delete_everything(Actor(visitor=submission.visitor)) == 1


WAYS = (by_its_sender, on_its_page, by_an_operator, in_bulk, by_retention, with_everything_of_its_sender)


@pytest.mark.parametrize("delete", WAYS)
def test_whoever_deletes_it_nothing_is_left(
    delete: Callable[[Submission, Client, Client], None], owner_client, operator_client, settings
):
    settings.RETENTION_DAYS = 1
    response = send(owner_client, SINGLE)
    submission = Submission.objects.get()
    fingerprint = IdempotencyKey.objects.get().fingerprint
    assert submission.public_id in kept_text()
    delete(submission, owner_client, operator_client)
    assert not Submission.objects.exists()
    text = kept_text()
    for trace in (submission.public_id, fingerprint, response.json()["read_key"], f'"submission": {submission.pk}'):
        assert trace not in text
    assert not IdempotencyItem.objects.exists()


def test_an_account_takes_its_kept_answers_along(client_of):
    user = User.objects.create_user("vera")
    actor = Actor(user=user)
    send(client_of(actor), SINGLE)
    personal_data.delete_everything(actor, with_account=True)
    assert not IdempotencyKey.objects.exists()
    assert not IdempotencyItem.objects.exists()


def test_sent_again_it_is_not_stored_again_and_the_answer_says_that_it_was_deleted(owner_client):
    send(owner_client, SINGLE)
    bulk_delete.delete_submissions(Submission.objects.all())
    for _ in range(2):
        response = send(owner_client, SINGLE)
        assert (response.status_code, response.json()["code"]) == (410, "deleted")
        assert response.headers["Content-Type"] == "application/problem+json"
    assert not Submission.objects.exists()


def test_of_a_batch_the_rest_is_answered_for_and_the_deleted_one_is_not_in_it(owner_client):
    first = send(owner_client, BATCH).json()
    bulk_delete.delete_submissions(Submission.objects.filter(public_id=first[0]["submission"]["id"]))
    assert first[0]["submission"]["id"] not in kept_text()
    for _ in range(2):
        again = send(owner_client, BATCH)
        assert again.status_code == 207
        assert [item["status"] for item in again.json()] == [410, 422, 202]
        assert again.json()[0]["problem"]["code"] == "deleted"
        assert again.json()[2]["submission"]["id"] == first[2]["submission"]["id"]
    assert Submission.objects.count() == 1
    assert send(owner_client, BATCH[:1]).json()["code"] == "key_reused"


def test_what_is_deleted_while_it_is_being_answered_is_not_in_the_answer_that_is_kept(owner_client, monkeypatch):
    def delete(*_files: object) -> None:
        bulk_delete.delete_submissions(Submission.objects.all())

    with monkeypatch.context() as patched:
        patched.setattr(fsync, "flush", delete)
        assert send(owner_client, SINGLE).status_code == 202
    assert IdempotencyKey.objects.get().body == ""
    assert send(owner_client, SINGLE).status_code == 410


def test_a_key_that_is_used_again_after_a_day_has_nothing_to_do_with_what_it_stored_before(owner_client):
    send(owner_client, SINGLE)
    IdempotencyKey.objects.update(expires=timezone.now())
    second = send(owner_client, SINGLE)
    bulk_delete.delete_submissions(Submission.objects.exclude(public_id=second.json()["id"]))
    assert send(owner_client, SINGLE).json() == second.json()
    IdempotencyKey.objects.update(expires=timezone.now())
    assert idempotency.delete_expired() == 1
    assert not IdempotencyItem.objects.exists()
