"""Tests that run on both databases: SQLite, and the test run's own PostgreSQL (digitsite/testing/postgresql.py).

All tests in FOLDERS that use the database do, but for those that carry `@pytest.mark.sqlite_only`, which are not about
rows, and elsewhere those that carry `@pytest.mark.both_databases`; with `short="sqlite"` its PostgreSQL form runs in
`make acceptance` only. In the unit tier that form carries the mark `postgresql`, for `make unit` starts no process. A
test sees nothing of it: `connection` is the one of the database that it runs on, and `site` and `make_site` make sites
that use it. Without a PostgreSQL those halves are skipped and say why. tests/conftest.py brings this to all tests.
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
    asked = metafunc.definition.get_closest_marker("both_databases")
    tier, folder = metafunc.definition.path.relative_to(TESTS).parts[:2]
    if asked is None and not (folder in FOLDERS and _uses_database(metafunc)):
        return
    short = asked.kwargs.get("short") if asked else None
    marks = {name: [pytest.mark.acceptance] if short and name != short else [] for name in (SQLITE, POSTGRESQL)}
    if tier == "unit":
        marks[POSTGRESQL].append(pytest.mark.postgresql)
    names = [pytest.param(name, marks=marks[name]) for name in (SQLITE, POSTGRESQL)]
    metafunc.parametrize("database", names, indirect=True, scope="module")


def _uses_database(metafunc: pytest.Metafunc) -> bool:
    return metafunc.definition.get_closest_marker("django_db") is not None or "db" in metafunc.fixturenames


@pytest.fixture(scope="module", autouse=True)
def database(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Which database the test runs on; Django's default one is it meanwhile."""
    name = getattr(request, "param", SQLITE)
    if name == SQLITE:
        yield name
        return
    if postgresql.programs() is None:
        pytest.skip("no PostgreSQL is installed; `python -m digitsite.testing.postgresql` gets one")
    if any(item.get_closest_marker("django_db") for item in request.session.items):
        request.getfixturevalue("django_db_setup")  # or it would take this database for the one to be made
    own = f"test_{os.getpid()}"
    try:
        postgresql.create(own)
    except GetError as error:
        pytest.fail(str(error))
    with django_db_blocker.unblock(), default_database(dj_database_url.parse(postgresql.url(own)) | {"OPTIONS": {}}):
        yield name
    postgresql.drop(own)


def renew() -> None:
    """The PostgreSQL database of this process as new, after a test that committed."""
    from django.db import connection

    connection.close()
    postgresql.renew(connection.settings_dict["NAME"])
