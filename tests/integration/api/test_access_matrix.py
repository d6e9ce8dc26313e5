"""Access matrix: every operation of the OpenAPI document, called by every kind of client.

A new operation needs an expectation here.
"""

import json

import pytest
import yaml
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from digitsite.testing.site import BASE_DIR
from recognizer.models import Label, LabelReason, Prediction, Source, Token, TrainingRun
from recognizer.services.identity import tokens
from recognizer.services.identity.actors import Actor
from recognizer.services.review import labels
from recognizer.services.submissions import service
from tests.factories import make_prediction
from tests.image_samples import SEVEN
from tests.support.people import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only, pytest.mark.usefixtures("media")]

DOCUMENT = yaml.safe_load((BASE_DIR / "docs/openapi.yaml").read_text())
METHODS = ("get", "post", "put", "patch", "delete")
OPERATIONS = {
    path[method]["operationId"]: (address, method)
    for address, path in DOCUMENT["paths"].items()
    for method in METHODS
    if method in path
}

CALLERS = ("anonymous", "stranger", "owner", "reviewer", "operator")
# Tokens of the operator with one scope each, then of the owner.
SCOPED = ("read", "submit", "review", "operate", "owner's read", "owner's submit")

# fmt: off
EXPECTED = {
    # operation                       anonymous, stranger, owner, reviewer, operator | tokens, as above
    "list_deployments":                  "403 403 403 403 200 | 403 403 403 200 403 403",
    "read_export":                       "403 403 403 200 200 | 403 403 200 200 403 403",
    "download_export_npz":               "403 403 403 200 200 | 403 403 200 200 403 403",
    "download_export_zip":               "403 403 403 200 200 | 403 403 200 200 403 403",
    "list_labels":                       "200 200 200 200 200 | 200 403 403 403 200 403",
    "read_label":                        "404 404 200 200 200 | 404 403 403 403 200 403",
    "retract_label":                     "404 404 204 403 403 | 403 404 403 403 403 204",
    "read_me":                           "200 200 200 200 200 | 200 200 200 200 200 200",
    "list_models":                       "200 200 200 200 200 | 200 403 403 403 200 403",
    "read_model":                        "200 200 200 200 200 | 200 403 403 403 200 403",
    "download_model_bundle":             "403 403 403 403 200 | 403 403 403 200 403 403",
    "download_model_keras":              "403 403 403 403 200 | 403 403 403 200 403 403",
    "promote_model":                     "403 403 403 403 409 | 403 403 403 409 403 403",
    "roll_back_to_model":                "403 403 403 403 409 | 403 403 403 409 403 403",
    "list_predictions":                  "200 200 200 200 200 | 200 403 403 403 200 403",
    "read_prediction":                   "404 404 200 200 200 | 404 403 403 403 200 403",
    "preview":                           "200 200 200 200 200 | 403 200 403 403 403 200",
    "review_decide":                     "403 403 403 201 201 | 403 403 201 403 403 403",
    "review_decide_several":             "403 403 403 200 200 | 403 403 200 403 403 403",
    "review_grid":                       "403 403 403 200 200 | 403 403 200 403 403 403",
    "review_next":                       "403 403 403 200 200 | 403 403 200 403 403 403",
    "review_skip":                       "403 403 403 204 204 | 403 403 204 403 403 403",
    "review_undo":                       "403 403 403 200 200 | 403 403 200 403 403 403",
    "read_stats":                        "200 200 200 200 200 | 200 403 403 403 200 403",
    "list_submissions":                  "200 200 200 200 200 | 200 403 403 403 200 403",
    "create_submission":                 "202 202 202 202 202 | 403 202 403 403 403 202",
    "read_submission":                   "404 404 200 200 200 | 404 403 403 403 200 403",
    "crop_submission":                   "404 404 202 202 202 | 403 404 202 403 403 202",
    "delete_submission":                 "404 404 204 403 204 | 403 404 403 204 403 204",
    "read_submission_explanation":       "404 404 200 200 200 | 404 403 403 403 200 403",
    "read_submission_explanation_image": "404 404 200 200 200 | 404 403 403 403 200 403",
    "read_submission_image":             "404 404 200 200 200 | 404 403 403 403 200 403",
    "list_labels_of_submission":         "404 404 200 200 200 | 404 403 403 403 200 403",
    "create_label":                      "404 404 201 201 201 | 403 404 201 403 403 201",
    "read_submission_pixels":            "404 404 200 200 200 | 404 403 403 403 200 403",
    "share_submission":                  "404 404 200 403 403 | 403 404 403 403 403 200",
    "revoke_read_key":                   "404 404 204 403 403 | 403 404 403 403 403 204",
    "unshare_submission":                "404 404 204 403 403 | 403 404 403 403 403 204",
    "list_tokens":                       "403 200 200 200 200 | 403 403 403 403 403 403",
    "create_token":                      "403 201 201 201 201 | 403 403 403 403 403 403",
    "delete_token":                      "403 404 204 404 404 | 403 403 403 403 403 403",
    "list_training_runs":                "403 403 403 403 200 | 403 403 403 200 403 403",
    "start_training_run":                "403 403 403 403 409 | 403 403 403 409 403 403",
    "read_training_run":                 "403 403 403 403 200 | 403 403 403 200 403 403",
    "cancel_training_run":               "403 403 403 403 202 | 403 403 403 202 403 403",
}
# fmt: on

BODIES = {
    "create_submission": {"strokes": SEVEN},
    "preview": {"strokes": []},
    "create_label": {"value": "4"},
    "crop_submission": {"crop": [20, 20, 260, 260]},
    "review_decide": {"submission": "{public_id}", "value": "4"},
    "review_decide_several": {"decisions": [{"submission": "{public_id}", "value": "4"}]},
    "review_grid": {"digit": 7},
    "review_skip": {"submission": "{public_id}"},
    "review_undo": {"submission": "{public_id}"},
    "create_token": {"name": "new", "scopes": ["read"]},
    "promote_model": {},
    "roll_back_to_model": {},
}


@pytest.fixture
def fixture_data(operator: Actor, reviewer: Actor) -> dict:
    """One object of each kind, owned by the owner, and a client for each kind of caller."""
    owner, stranger = (Actor(user=User.objects.create_user(name)) for name in ("ann", "bob"))
    submission = service.create_from_strokes(actor=owner, strokes=SEVEN, source=Source.API)
    make_prediction(submission)
    label = labels.record_label(actor=owner, submission=submission, value="7", reason=LabelReason.API).label
    run = TrainingRun.objects.create(trigger="person", requested_by=operator.user)
    clients = {
        "anonymous": Client(HTTP_HOST="localhost"),
        **{
            name: client_of(actor)
            for name, actor in zip(CALLERS[1:], (stranger, owner, reviewer, operator), strict=True)
        },
    }
    for name in SCOPED:
        scope = name.removeprefix("owner's ")
        _, key = tokens.create(actor=operator if name == scope else owner, name=scope, scopes=[scope])
        clients[name] = Client(HTTP_HOST="localhost", headers={"Authorization": f"Bearer {key}"})
    return {
        "clients": clients,
        "ids": {
            "submissions": submission.public_id,
            "labels": label.pk,
            "predictions": Prediction.objects.get().pk,
            "tokens": Token.objects.filter(user=owner.user).first().pk,
            "training-runs": run.pk,
            "models": 1,
        },
    }


def call(operation: str, client: Client, ids: dict) -> HttpResponse:
    address, method = OPERATIONS[operation]
    collection = address.split("/")[3]
    for name in ("{public_id}", "{id}", "{number}"):
        address = address.replace(name, str(ids.get(collection)))
    body = json.dumps(BODIES.get(operation, {})).replace("{public_id}", ids["submissions"])
    headers = {"Prefer": "wait=0"}
    if method == "get":
        return client.get(address, headers=headers)
    return getattr(client, method)(address, body, content_type="application/json", headers=headers)


def test_every_operation_has_an_expectation() -> None:
    assert set(EXPECTED) == set(OPERATIONS), "Add the expected status of each client for new operations."


def test_access_matrix_is_enforced(fixture_data: dict) -> None:
    answers = {}
    for operation in EXPECTED:
        statuses = []
        for client in fixture_data["clients"].values():
            with transaction.atomic():
                response = call(operation, client, fixture_data["ids"])
                statuses.append(str(response.status_code))
                if response.streaming:
                    response.getvalue()
                transaction.set_rollback(True)
        answers[operation] = f"{' '.join(statuses[: len(CALLERS)])} | {' '.join(statuses[len(CALLERS) :])}"
    assert answers == EXPECTED


def test_unsupported_methods_are_405_with_allow_header(fixture_data: dict) -> None:
    for address, path in DOCUMENT["paths"].items():
        allowed = {method.upper() for method in METHODS if method in path}
        real = (
            address.replace("{public_id}", fixture_data["ids"]["submissions"])
            .replace("{id}", "1")
            .replace("{number}", "1")
        )
        for name in ("anonymous", "operator", "operate"):
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - allowed:
                response = fixture_data["clients"][name].generic(method, real)
                assert response.status_code == 405, (address, method, name)
                assert allowed <= set(response.headers["Allow"].split(", ")) <= allowed | {"HEAD"}


def token_of(actor: Actor, *scopes: str) -> Client:
    _, key = tokens.create(actor=actor, name=f"{len(scopes)} {scopes[-1]}", scopes=scopes)
    return Client(HTTP_HOST="localhost", headers={"Authorization": f"Bearer {key}"})


def test_token_scopes_limit_visible_submissions(fixture_data: dict, operator: Actor) -> None:
    """An operator's token with `read` sees own submissions; with `review` or `operate` too it sees all."""
    address = f"/api/v1/submissions/{fixture_data['ids']['submissions']}"
    for scopes, status, count in (["read"], 404, 0), (["read", "review"], 200, 1), (["read", "operate"], 200, 1):
        client = token_of(operator, *scopes)
        assert client.get(address).status_code == status
        assert len(client.get("/api/v1/submissions").json()["results"]) == count
        assert client.get("/api/v1/stats").json()["submissions"] == count


def test_reviewers_label_is_a_review_only_with_the_review_scope(fixture_data: dict, reviewer: Actor) -> None:
    other_labels = f"/api/v1/submissions/{fixture_data['ids']['submissions']}/labels"
    own_labels = f"{service.create_from_strokes(actor=reviewer, strokes=SEVEN, source=Source.API).public_id}/labels"
    review_client, submit_client = token_of(reviewer, "review"), token_of(reviewer, "submit")

    def create_label(client: Client, address: str) -> HttpResponse:
        return client.post(address, {"value": "4"}, content_type="application/json")

    assert create_label(submit_client, other_labels).status_code == 404
    assert create_label(submit_client, f"/api/v1/submissions/{own_labels}").json()["kind"] == "suggestion"
    assert create_label(review_client, other_labels).json()["kind"] == "review"
    assert Label.objects.filter(kind="review").count() == 1
