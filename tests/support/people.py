"""Actors for tests and an HTTP client for each of them; tests/conftest.py loads these fixtures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.core import signing
from django.test import Client

from digitsite.testing.users import member_of

if TYPE_CHECKING:
    from recognizer.services.identity.actors import Actor

# Django is set up after this module is loaded, so the functions import what needs it.


@pytest.fixture
def visitor() -> Actor:
    from recognizer.services.identity.actors import Actor

    return Actor(visitor="a" * 32)


@pytest.fixture
def stranger() -> Actor:
    from recognizer.services.identity.actors import Actor

    return Actor(visitor="b" * 32)


@pytest.fixture
def reviewer(db: None) -> Actor:
    return member_of("reviewer", "rita")


@pytest.fixture
def operator(db: None) -> Actor:
    return member_of("operator", "otto")


# --- Clients -------------------------------------------------------------------------------------------------------


def client_of(actor: Actor, *, csrf: bool = False) -> Client:
    """Return a client of this actor, with a session or a visitor cookie."""
    from recognizer.cookies import VISITOR_SALT

    client = Client(enforce_csrf_checks=csrf, HTTP_HOST="localhost")
    if actor.user is not None:
        client.force_login(actor.user)
    elif actor.visitor:
        salt = settings.VISITOR_COOKIE + VISITOR_SALT
        client.cookies[settings.VISITOR_COOKIE] = signing.get_cookie_signer(salt=salt).sign(actor.visitor)
    return client


@pytest.fixture(name="client_of")
def _client_of() -> Callable[..., Client]:
    return client_of


@pytest.fixture
def anonymous_client() -> Client:
    """A client without cookies."""
    return Client(HTTP_HOST="localhost")


@pytest.fixture
def owner_client(visitor: Actor) -> Client:
    return client_of(visitor)


@pytest.fixture
def other_client(stranger: Actor) -> Client:
    return client_of(stranger)


@pytest.fixture
def reviewer_client(reviewer: Actor) -> Client:
    return client_of(reviewer)


@pytest.fixture
def operator_client(operator: Actor) -> Client:
    return client_of(operator)
