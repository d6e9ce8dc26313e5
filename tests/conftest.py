"""What many tests share: a database as new, and a data folder that is the test run's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from django.conf import settings

from digitsite.testing.environment import DATA_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import DjangoDbBlocker

# Django is set up after this file is read, so what needs it is imported inside the fixtures.

pytest_plugins = [
    "tests.support.application",
    "tests.support.databases",
    "tests.support.fixtures",
    "tests.support.people",
    "tests.support.reviewers",
    "tests.support.training",
]

# Once there is a test database: what lets tests at it, and what the migrations have put into it.
_as_new: list[tuple[DjangoDbBlocker, str]] = []


# The same examples in every run: a failure is about the commit and not about chance.
hypothesis.settings.register_profile("deterministic", derandomize=True)
hypothesis.settings.load_profile("deterministic")


def pytest_configure() -> None:
    # Hashed names of static files need a collected manifest; pages under test name the files as they are.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Keep what the migrations put into the database: groups, and the shipped model as version 1."""
    from django.db import connection

    with django_db_blocker.unblock():
        _as_new.append((django_db_blocker, connection.creation.serialize_db_to_string()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """A test with real transactions leaves an emptied database; the next one, of whatever kind, finds it as new.

    Pytest-django runs such tests last instead, which does not hold when pytest-xdist deals them out by module.
    """
    yield
    marker = item.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction") or nextitem is None or not _as_new:
        return
    from django.core.management import call_command
    from django.db import connection

    from tests.support import databases

    blocker, content = _as_new[0]
    with blocker.unblock():
        if connection.vendor == "postgresql":
            databases.renew()
            return
        call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=True)
        connection.creation.deserialize_db_from_string(content)


@pytest.fixture
def data_folder() -> Path:
    return DATA_FOLDER


@pytest.fixture
def media(settings: Any, tmp_path: Path) -> Path:
    """An empty folder of this one test's own for kept pictures."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT
