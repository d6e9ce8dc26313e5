"""Manage keys: a submission's key allows to label and delete it; read and share keys only give read access."""

import json

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpResponse
from django.test import Client

from recognizer.models import IdempotencyKey, Label, Submission
from recognizer.services.identity import permissions, tokens
from recognizer.services.identity.actors import Actor
from recognizer.services.submissions import service
from tests.image_samples import SEVEN
from tests.support.people import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

SUBMISSIONS = "/api/v1/submissions"


def send(client: Client, body: object = None, **headers: str) -> HttpResponse:
    body = {"strokes": SEVEN} if body is None else body
    return client.post(SUBMISSIONS, json.dumps(body), content_type="application/json", headers=headers)


def address(submission: dict, part: str = "", key: str = "") -> str:
    return f"{SUBMISSIONS}/{submission['id']}{part}" + (f"?key={key}" if key else "")


def managing(key: str) -> dict:
    return {"headers": {"X-Manage-Key": key}, "content_type": "application/json"}


@pytest.fixture
def submission(anonymous_client: Client) -> dict:
    """The response to a submission of a client without an account."""
    return send(anonymous_client).json()


def test_manage_key_allows_labelling_sharing_and_deleting(submission, anonymous_client):
    manage = managing(submission["manage_key"])
    label = anonymous_client.post(address(submission, "/labels"), {"value": "4"}, **manage)
    assert (label.status_code, label.json()["kind"], label.json()["mine"]) == (201, "suggestion", True)
    assert anonymous_client.post(address(submission, "/labels"), {"value": "4"}, **manage).status_code == 200
    assert anonymous_client.post(address(submission, "/labels"), {"value": "7"}, **manage).status_code == 201
    read = anonymous_client.get(address(submission), headers=manage["headers"]).json()
    assert (read["truth"], read["mine"]) == ("7", True)
    link = anonymous_client.post(address(submission, "/share"), **manage).json()
    assert anonymous_client.get(link["url"]).status_code == 200
    assert anonymous_client.delete(address(submission, "/share"), **manage).status_code == 204
    assert anonymous_client.get(link["url"]).status_code == 404
    assert anonymous_client.delete(address(submission), **manage).status_code == 204
    assert not Submission.objects.exists()
    assert anonymous_client.get(address(submission), headers=manage["headers"]).status_code == 404


def test_manage_key_appears_only_in_the_response_body(anonymous_client, caplog):
    response = send(anonymous_client, **{"Idempotency-Key": "k"})
    key = response.json()["manage_key"]
    assert key.startswith(permissions.MANAGE_KEY_PREFIX)
    assert not any(key in value for value in response.headers.values())
    assert key not in caplog.text
    [row] = IdempotencyKey.objects.all()
    assert key not in row.body + json.dumps([row.headers, row.stored])
    submission = response.json()
    for body in (
        anonymous_client.get(address(submission, key=submission["read_key"])),
        anonymous_client.get(address(submission), headers={"X-Manage-Key": key}),
    ):
        assert "manage_key" not in body.json()
        assert key not in body.content.decode()


def test_repeated_request_returns_the_same_manage_key(anonymous_client):
    first, again = (send(anonymous_client, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.content == first.content
    assert again.headers["Location"] == first.headers["Location"]
    batch = [{"strokes": SEVEN}, {}, {"strokes": [[[1, 270], [1, 270]]]}]
    first, again = (send(anonymous_client, batch, **{"Idempotency-Key": "b"}) for _ in range(2))
    assert again.content == first.content
    keys = [item["submission"]["manage_key"] for item in again.json() if "submission" in item]
    assert len(set(keys)) == 2


@pytest.mark.parametrize("wrong", ["", "manage_", "nonsense\u20ac", "of another", "read key", "share key"])
def test_other_keys_cannot_manage_a_submission(wrong, submission, anonymous_client):
    manager = Actor(manage_key=submission["manage_key"])
    row = Submission.objects.get(public_id=submission["id"])
    wrong = {
        "of another": send(anonymous_client).json()["manage_key"],
        "read key": submission["read_key"],
        "share key": service.share(actor=manager, submission=row),
    }.get(wrong, wrong)
    manage = {"content_type": "application/json", "HTTP_X_MANAGE_KEY": wrong}
    for query in ("", submission["read_key"], service.share(actor=manager, submission=row)):
        status = 403 if query else 404
        assert (
            anonymous_client.post(address(submission, "/labels", query), {"value": "4"}, **manage).status_code == status
        )
        assert anonymous_client.delete(address(submission, "", query), **manage).status_code == status
        assert anonymous_client.post(address(submission, "/share", query), **manage).status_code == status
        assert anonymous_client.delete(address(submission, "/share", query), **manage).status_code == status
        assert anonymous_client.delete(address(submission, "/read-key", query), **manage).status_code == status
    assert not Label.objects.exists()
    assert Submission.objects.filter(public_id=submission["id"], read_key_revocations=0).exclude(share_key="").exists()


def test_manage_key_in_the_query_string_is_ignored(submission, anonymous_client):
    assert anonymous_client.get(address(submission, key=submission["manage_key"])).status_code == 404
    assert anonymous_client.delete(address(submission, key=submission["manage_key"])).status_code == 404


def test_accounts_and_visitors_have_no_manage_keys(visitor, anonymous_client):
    ann = Actor(user=User.objects.create_user("ann"))
    _, token = tokens.create(actor=ann, name="scanner", scopes=["submit"])
    bearer = Client(HTTP_HOST="localhost", headers={"Authorization": f"Bearer {token}"})
    for client in (client_of(visitor), client_of(ann), bearer):
        submission = send(client).json()
        assert submission["manage_key"] is None
        key = permissions.manage_key(submission["id"])  # the key it would have
        assert anonymous_client.delete(address(submission), **managing(key)).status_code == 404
    assert Submission.objects.count() == 3


def test_token_without_scope_cannot_use_a_manage_key(submission):
    _, token = tokens.create(actor=Actor(user=User.objects.create_user("ann")), name="reader", scopes=["read"])
    reader = Client(HTTP_HOST="localhost", headers={"Authorization": f"Bearer {token}"})
    assert reader.delete(address(submission), **managing(submission["manage_key"])).status_code == 403


def test_manage_key_can_revoke_the_read_key(submission, anonymous_client):
    manage = managing(submission["manage_key"])
    assert anonymous_client.get(address(submission, key=submission["read_key"])).status_code == 200
    assert anonymous_client.delete(address(submission, "/read-key"), **manage).status_code == 204
    assert anonymous_client.get(address(submission, key=submission["read_key"])).status_code == 404
    assert anonymous_client.get(address(submission, "/image", key=submission["read_key"])).status_code == 404
    assert anonymous_client.get(address(submission), headers=manage["headers"]).status_code == 200
    row = Submission.objects.get()
    assert permissions.can_see(Actor(), row, key=permissions.read_key(row))
    service.revoke_read_key(actor=Actor(manage_key=submission["manage_key"]), submission=row)
    assert row.read_key_revocations == 2


def test_read_key_of_the_previous_release_works_until_revoked(settings, submission, anonymous_client):
    key = signing.Signer(key=settings.SECRET_KEY, salt="recognizer.read-key").signature(submission["id"])
    assert anonymous_client.get(address(submission, key=key)).status_code == 200
    anonymous_client.delete(address(submission, "/read-key"), **managing(submission["manage_key"]))
    assert anonymous_client.get(address(submission, key=key)).status_code == 404


def test_allowed_origin_may_send_the_manage_key_header(anonymous_client, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://elsewhere.example"]
    response = anonymous_client.options(
        SUBMISSIONS,
        headers={
            "Origin": "https://elsewhere.example",
            "Access-Control-Request-Method": "DELETE",
            "Access-Control-Request-Headers": "x-manage-key",
        },
    )
    assert "x-manage-key" in response.headers["Access-Control-Allow-Headers"]
