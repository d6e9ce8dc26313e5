"""What many tests share: people, and a data folder that is the test run's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings

from tests.environment import DATA_FOLDER

if TYPE_CHECKING:
    from recognizer.services.actors import Actor

# Django is set up after this file is read, so what needs it is imported inside the fixtures.

pytest_plugins = ["tests.support.fixtures"]


def pytest_configure() -> None:
    # Hashed names of static files need a collected manifest; pages under test name the files as they are.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


@pytest.fixture
def data_folder() -> Path:
    return DATA_FOLDER


@pytest.fixture
def visitor() -> Actor:
    from recognizer.services.actors import Actor

    return Actor(visitor="a" * 32)


@pytest.fixture
def stranger() -> Actor:
    from recognizer.services.actors import Actor

    return Actor(visitor="b" * 32)


def _member_of(group: str, name: str) -> Actor:
    from django.contrib.auth.models import Group, User

    from recognizer.services.actors import Actor

    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get(name=group))
    return Actor(user=user)


@pytest.fixture
def reviewer(db: None) -> Actor:
    return _member_of("reviewer", "rita")


@pytest.fixture
def operator(db: None) -> Actor:
    return _member_of("operator", "otto")


@pytest.fixture
def media(settings: Any, tmp_path: Path) -> Path:
    """An empty folder of this one test's own for kept pictures."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT
