"""Tests that run on both databases: SQLite, and the test run's own PostgreSQL (digitsite/testing/postgresql.py).

These are all tests in FOLDERS that use the database, except those marked `@pytest.mark.sqlite_only`, and tests
elsewhere marked `@pytest.mark.both_databases`; with `short="sqlite"`, the PostgreSQL variant runs in `make acceptance`
only. In the unit tier, that variant is marked `postgresql`, because `make unit` starts no process. Tests need no code
for this: `connection` belongs to the database in use, and `site` and `make_site` create sites that use it. Without
PostgreSQL, these variants are skipped with a reason. tests/conftest.py loads this plugin.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dj_database_url
import pytest

from digitsite.testing import postgresql
from digitsite.testing.databases import default_database
from digitsite.testing.packages import GetError

if TYPE_CHECKING:
    from pytest_django import DjangoDbBlocker

FOLDERS = ("api", "models", "services")
SQLITE, POSTGRESQL = "sqlite", "postgresql"
TESTS = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    postgresql.announce()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("sqlite_only") is not None:
        return
    marker = metafunc.definition.get_closest_marker("both_databases")
    tier, folder = metafunc.definition.path.relative_to(TESTS).parts[:2]
    if marker is None and not (folder in FOLDERS and _uses_database(metafunc)):
        return
    short = marker.kwargs.get("short") if marker else None
    marks = {name: [pytest.mark.acceptance] if short and name != short else [] for name in (SQLITE, POSTGRESQL)}
    if tier == "unit":
        marks[POSTGRESQL].append(pytest.mark.postgresql)
    names = [pytest.param(name, marks=marks[name]) for name in (SQLITE, POSTGRESQL)]
    metafunc.parametrize("database", names, indirect=True, scope="module")


def _uses_database(metafunc: pytest.Metafunc) -> bool:
    return metafunc.definition.get_closest_marker("django_db") is not None or "db" in metafunc.fixturenames


@pytest.fixture(scope="module", autouse=True)
def database(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The name of the test's database, which is Django's default database during the test."""
    name = getattr(request, "param", SQLITE)
    if name == SQLITE:
        yield name
        return
    if postgresql.programs() is None:
        pytest.skip("no PostgreSQL is installed; `python -m digitsite.testing.postgresql` gets one")
    if any(item.get_closest_marker("django_db") for item in request.session.items):
        request.getfixturevalue("django_db_setup")  # otherwise it would use this database as its test database
    process_database = f"test_{os.getpid()}"
    try:
        postgresql.create(process_database)
    except GetError as error:
        pytest.fail(str(error))
    with (
        django_db_blocker.unblock(),
        default_database(dj_database_url.parse(postgresql.url(process_database)) | {"OPTIONS": {}}),
    ):
        yield name
    postgresql.drop(process_database)


def renew() -> None:
    """Reset the PostgreSQL database of this process after a test that committed."""
    from django.db import connection

    connection.close()
    postgresql.renew(connection.settings_dict["NAME"])
