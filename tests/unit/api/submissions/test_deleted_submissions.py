"""A deleted submission is erased from the responses that are stored for idempotency keys."""

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


def stored_text() -> str:
    """Return the content of all stored responses as JSON, without clients and their keys."""
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
    form = {"s": submission.public_id, "act": "delete-now"}
    assert operator_client.post(reverse("history-bulk"), form).status_code == 302


def by_retention(submission: Submission, _owner: Client, _operating: Client) -> None:
    Submission.objects.filter(pk=submission.pk).update(created=timezone.now() - timedelta(days=2))
    assert retention.delete_expired_submissions() == 1


def with_all_data_of_its_sender(submission: Submission, _owner: Client, _operating: Client) -> None:
    assert personal_data.delete_everything(Actor(visitor=submission.visitor)) == 1


DELETIONS = (by_its_sender, on_its_page, by_an_operator, in_bulk, by_retention, with_all_data_of_its_sender)


@pytest.mark.parametrize("delete", DELETIONS)
def test_deletion_erases_the_submission_from_stored_responses(
    delete: Callable[[Submission, Client, Client], None], owner_client, operator_client, settings
):
    settings.RETENTION_DAYS = 1
    response = send(owner_client, SINGLE)
    submission = Submission.objects.get()
    fingerprint = IdempotencyKey.objects.get().fingerprint
    assert submission.public_id in stored_text()
    delete(submission, owner_client, operator_client)
    assert not Submission.objects.exists()
    text = stored_text()
    for trace in (submission.public_id, fingerprint, response.json()["read_key"], f'"submission": {submission.pk}'):
        assert trace not in text
    assert not IdempotencyItem.objects.exists()


def test_deleting_an_account_deletes_its_stored_responses(client_of):
    user = User.objects.create_user("vera")
    actor = Actor(user=user)
    send(client_of(actor), SINGLE)
    personal_data.delete_everything(actor, with_account=True)
    assert not IdempotencyKey.objects.exists()
    assert not IdempotencyItem.objects.exists()


def test_repeated_request_for_a_deleted_submission_is_410(owner_client):
    send(owner_client, SINGLE)
    bulk_delete.delete_submissions(Submission.objects.all())
    for _ in range(2):
        response = send(owner_client, SINGLE)
        assert (response.status_code, response.json()["code"]) == (410, "deleted")
        assert response.headers["Content-Type"] == "application/problem+json"
    assert not Submission.objects.exists()


def test_repeated_batch_reports_the_deleted_submission_as_410(owner_client):
    first = send(owner_client, BATCH).json()
    bulk_delete.delete_submissions(Submission.objects.filter(public_id=first[0]["submission"]["id"]))
    assert first[0]["submission"]["id"] not in stored_text()
    for _ in range(2):
        repeated = send(owner_client, BATCH)
        assert repeated.status_code == 207
        assert [item["status"] for item in repeated.json()] == [410, 422, 202]
        assert repeated.json()[0]["problem"]["code"] == "deleted"
        assert repeated.json()[2]["submission"]["id"] == first[2]["submission"]["id"]
    assert Submission.objects.count() == 1
    assert send(owner_client, BATCH[:1]).json()["code"] == "key_reused"


def test_submission_deleted_during_its_request_is_not_in_the_stored_response(owner_client, monkeypatch):
    def delete(*_files: object) -> None:
        bulk_delete.delete_submissions(Submission.objects.all())

    with monkeypatch.context() as patched:
        patched.setattr(fsync, "flush", delete)
        assert send(owner_client, SINGLE).status_code == 202
    assert IdempotencyKey.objects.get().body == ""
    assert send(owner_client, SINGLE).status_code == 410


def test_expired_key_can_be_reused_independently(owner_client):
    send(owner_client, SINGLE)
    IdempotencyKey.objects.update(expires=timezone.now())
    second = send(owner_client, SINGLE)
    bulk_delete.delete_submissions(Submission.objects.exclude(public_id=second.json()["id"]))
    assert send(owner_client, SINGLE).json() == second.json()
    IdempotencyKey.objects.update(expires=timezone.now())
    assert idempotency.delete_expired() == 1
    assert not IdempotencyItem.objects.exists()
