"""Fixtures with reviewers and with clients that may not review."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

from digitsite.testing.users import member_of
from tests.support.people import client_of

if TYPE_CHECKING:
    from recognizer.services.identity.actors import Actor

# Django is set up after this file is read, so what needs it is imported inside the fixtures.


@pytest.fixture
def second_reviewer(db: None) -> Actor:
    return member_of("reviewer", "rolf")


@pytest.fixture
def clients_without_queue(visitor: Actor, stranger: Actor) -> list[Client]:
    """Clients without a review queue: anonymous, visitors, and an account without the permission."""
    from django.contrib.auth.models import User

    from recognizer.services.identity.actors import Actor

    account = Actor(user=User.objects.create_user("ann"))
    return [Client(), client_of(visitor), client_of(stranger), client_of(account)]
