"""Caches: what depends on who asks is kept by no shared one."""

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import get_resolver, reverse

from recognizer.models import Submission
from recognizer.services.identity.actors import Actor
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db

# Answers that are the same for every caller.
PUBLIC = {"robots", "favicon", "api-schema"}
ARGUMENTS = {
    "public_id": "nothing-here", "number": 1, "pk": 1, "label_id": 1, "name": "curves",
    "uidb64": "MQ", "uid": "MQ", "token": "a-token",
}  # fmt: skip


def directives(response: HttpResponse) -> set[str]:
    return {part.strip() for part in response["Cache-Control"].split(",")}


def vary(response: HttpResponse) -> set[str]:
    return {part.strip() for part in response["Vary"].split(",")}


def addresses() -> list[tuple[str, str]]:
    """Every view of pages and API by name, and an address that leads to it."""
    found = {}
    for name, (patterns, *_) in get_resolver().reverse_dict.items():
        if isinstance(name, str):
            _, parameters = patterns[0]
            found[name] = reverse(name, kwargs={parameter: ARGUMENTS[parameter] for parameter in parameters})
    return sorted(found.items())


@pytest.mark.parametrize("who", ["stranger", "reviewer", "operator"])
def test_every_answer_that_depends_on_the_caller_is_private(who: str, request, client_of) -> None:
    client = client_of(request.getfixturevalue(who))
    assert len(addresses()) > 60
    for name, address in addresses():
        for response in (client.get(address), client.post(address)):
            response.close()
            told = f"{name} {response.status_code} {response.headers}"
            if name in PUBLIC and response.status_code < 400:
                assert "public" in directives(response), told
                continue
            assert "private" in directives(response), told
            assert "public" not in directives(response), told
            if address.startswith("/api/"):
                assert {"Cookie", "Authorization"} <= vary(response), told
            elif name not in ("healthz", "readyz", "metrics"):
                assert "Cookie" in vary(response), told


@pytest.mark.parametrize(
    "address", ["submissions", "submissions/nothing", "me", "models", "stats", "nothing", "labels"]
)
def test_json_is_stored_by_no_cache(address: str, anonymous_client: Client, reviewer_client: Client) -> None:
    for client in (anonymous_client, reviewer_client):
        response = client.get(f"/api/v1/{address}")
        assert directives(response) == {"private", "no-store"}
        assert {"Cookie", "Authorization"} <= vary(response)
    bad = anonymous_client.get(f"/api/v1/{address}", headers={"Authorization": "Bearer digits_unknown"})
    assert directives(bad) == {"private", "no-store"}


def test_pictures_are_kept_by_the_callers_browser_alone(owner_client: Client, visitor: Actor, media) -> None:
    submission = make_submission(actor=visitor)
    make_prediction(submission)
    response = owner_client.get(f"/api/v1/submissions/{Submission.objects.get().public_id}/pixels.png")
    assert response.status_code == 200
    assert directives(response) == {"private", "max-age=3600"}
    assert {"Cookie", "Authorization"} <= vary(response)


def test_pages_of_a_signed_in_person_come_from_no_cache_after_signing_out(reviewer_client: Client) -> None:
    for name in ("history", "review", "tokens", "my-data"):
        assert {"private", "no-store"} <= directives(reviewer_client.get(reverse(name))), name
    # Back brings a half-finished drawing back, which a page that is stored nowhere could not.
    assert directives(reviewer_client.get("/")) == {"private", "no-cache"}


def test_schema_may_be_kept_for_a_while_by_anyone(anonymous_client: Client) -> None:
    response = anonymous_client.get("/api/v1/schema/")
    assert response.status_code == 200
    assert directives(response) == {"public", "max-age=300"}
    assert "Accept" in vary(response)
    assert not response.cookies
