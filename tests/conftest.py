"""Shared fixtures: a clean database and a data directory for the test run."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from django.conf import settings

from digitsite.testing.environment import DATA_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import DjangoDbBlocker

# Django is set up after this module is loaded, so the fixtures import what needs it.

pytest_plugins = [
    "tests.support.application",
    "tests.support.databases",
    "tests.support.fixtures",
    "tests.support.people",
    "tests.support.reviewers",
    "tests.support.training",
]

# Set when the test database exists: its blocker, and its content after the migrations.
_initial_content: list[tuple[DjangoDbBlocker, str]] = []


# The same examples in every run, so that failures are reproducible.
hypothesis.settings.register_profile("deterministic", derandomize=True)
hypothesis.settings.load_profile("deterministic")


def pytest_configure() -> None:
    # Hashed names of static files need a collected manifest; tests use the plain names.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, template_database: Path) -> Iterator[None]:
    """Fill the test database, which is in memory, before pytest-django migrates it."""
    name = "file:memorydb_default?mode=memory&cache=shared"
    with (
        contextlib.closing(sqlite3.connect(template_database)) as template,
        contextlib.closing(sqlite3.connect(name, uri=True)) as memory,
    ):
        template.backup(memory)
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Save the content that migrations create: groups, and the shipped model as version 1."""
    from django.db import connection

    with django_db_blocker.unblock():
        _initial_content.append((django_db_blocker, connection.creation.serialize_db_to_string()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Restore the initial content after a test with real transactions, which leaves an empty database.

    Pytest-django runs such tests last instead, which pytest-xdist does not preserve when it distributes modules.
    """
    yield
    marker = item.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction") or nextitem is None or not _initial_content:
        return
    from django.core.management import call_command
    from django.db import connection

    from tests.support import databases

    blocker, content = _initial_content[0]
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
    """An empty media directory for one test."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT
