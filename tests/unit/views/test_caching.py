"""Tests of cache headers: responses that depend on the actor are private."""

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import HttpResponse
from django.test import Client
from django.urls import get_resolver, reverse

from recognizer.services.identity.actors import Actor
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db

# Views whose response is the same for every actor.
PUBLIC = {"robots", "favicon", "api-schema"}
ARGUMENTS = {
    "public_id": "nothing-here", "number": 1, "pk": 1, "label_id": 1, "name": "curves",
    "uidb64": "MQ", "uid": "MQ", "token": "a-token",
}  # fmt: skip


def directives(response: HttpResponse) -> set[str]:
    return {part.strip() for part in response["Cache-Control"].split(",")}


def vary(response: HttpResponse) -> set[str]:
    return {part.strip() for part in response["Vary"].split(",")}


def view_urls() -> list[tuple[str, str]]:
    """Return the name and a URL of every view."""
    urls = {}
    for name, (patterns, *_) in get_resolver().reverse_dict.items():
        if isinstance(name, str):
            _, parameters = patterns[0]
            urls[name] = reverse(name, kwargs={parameter: ARGUMENTS[parameter] for parameter in parameters})
    return sorted(urls.items())


@pytest.mark.parametrize("actor_name", ["stranger", "reviewer", "operator"])
def test_responses_that_depend_on_the_actor_are_private(actor_name: str, request, client_of) -> None:
    client = client_of(request.getfixturevalue(actor_name))
    assert len(view_urls()) > 60
    for name, address in view_urls():
        for response in (client.get(address), client.post(address)):
            response.close()
            message = f"{name} {response.status_code} {response.headers}"
            if name in PUBLIC and response.status_code < 400:
                assert "public" in directives(response), message
                continue
            assert "private" in directives(response), message
            assert "public" not in directives(response), message
            if address.startswith("/api/"):
                assert {"Cookie", "Authorization"} <= vary(response), message
            elif name not in ("healthz", "readyz", "metrics"):
                assert "Cookie" in vary(response), message


@pytest.mark.parametrize(
    "address", ["submissions", "submissions/nothing", "me", "models", "stats", "nothing", "labels"]
)
def test_json_responses_are_not_cached(address: str, anonymous_client: Client, reviewer_client: Client) -> None:
    for client in (anonymous_client, reviewer_client):
        response = client.get(f"/api/v1/{address}")
        assert directives(response) == {"private", "no-store"}
        assert {"Cookie", "Authorization"} <= vary(response)
    bad = anonymous_client.get(f"/api/v1/{address}", headers={"Authorization": "Bearer digits_unknown"})
    assert directives(bad) == {"private", "no-store"}


def test_images_are_cached_by_the_browser_only(owner_client: Client, visitor: Actor, media) -> None:
    submission = make_submission(actor=visitor)
    default_storage.save(submission.picture, ContentFile(b"image"))
    make_prediction(submission)
    # The model's input changes when a prediction chooses another reading.
    caching = {"image": "max-age=3600", "pixels.png": "no-cache", "explanation.png": "no-cache"}
    for name, directive in caching.items():
        response = owner_client.get(f"/api/v1/submissions/{submission.public_id}/{name}")
        assert response.status_code == 200
        assert directives(response) == {"private", directive}
        assert {"Cookie", "Authorization"} <= vary(response)


def test_pages_of_accounts_are_not_cached(reviewer_client: Client) -> None:
    for name in ("history", "review", "tokens", "my-data"):
        assert {"private", "no-store"} <= directives(reviewer_client.get(reverse(name))), name
    # The browser may store the Draw page, so that Back restores an unfinished drawing.
    assert directives(reviewer_client.get("/")) == {"private", "no-cache"}


def test_schema_may_be_cached_publicly(anonymous_client: Client) -> None:
    response = anonymous_client.get("/api/v1/schema/")
    assert response.status_code == 200
    assert directives(response) == {"public", "max-age=300"}
    assert "Accept" in vary(response)
    assert not response.cookies
