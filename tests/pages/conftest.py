"""The people of these tests, each in a browser of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

from tests.api.conftest import client_of

if TYPE_CHECKING:
    from recognizer.services.actors import Actor


@pytest.fixture
def owner(visitor: Actor) -> Client:
    return client_of(visitor)


@pytest.fixture
def other(stranger: Actor) -> Client:
    return client_of(stranger)


@pytest.fixture
def reviewing(reviewer: Actor) -> Client:
    return client_of(reviewer)


@pytest.fixture
def operating(operator: Actor) -> Client:
    return client_of(operator)
