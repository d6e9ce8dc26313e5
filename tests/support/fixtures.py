"""Fixtures for tests that need real processes; tests/conftest.py loads them."""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import django
import pytest
from pytest_django import DjangoDbBlocker

from digitsite.testing.site import BASE_DIR, Site, migrated_database

from .databases import POSTGRESQL


@pytest.fixture(scope="session")
def template_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and model version 1. Kept in pytest's cache, because migrations take seconds."""
    folder = request.config.cache.mkdir("template_database")
    cached = folder / f"{_schema_fingerprint()}.sqlite3"
    copy = tmp_path_factory.mktemp("template") / "db.sqlite3"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cached.exists():
            for outdated in folder.glob("*.sqlite3"):
                outdated.unlink()
            shutil.copy(migrated_database(tmp_path_factory.mktemp("migrated")), folder / "new")
            (folder / "new").rename(cached)  # an interrupted run leaves no part of a file
        shutil.copy(cached, copy)
    return copy


def _schema_fingerprint() -> str:
    """Return a hash of the files that determine the content of a migrated database."""
    digest = hashlib.sha256(django.__version__.encode())
    for folder in ("recognizer/migrations", "recognizer/models", "ml/base"):
        for path in sorted(path for path in Path(BASE_DIR, folder).rglob("*") if path.suffix != ".pyc"):
            digest.update(f"{path}\n".encode())
            digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


@pytest.fixture
def make_site(
    template_database: Path, database: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[Callable[..., Site]]:
    """Factory for sites with their own settings: `make_site(PREDICTION_BATCH="8")`. No process is started."""
    sites: list[Site] = []

    def make(**environment: str) -> Site:
        sites.append(Site(template_database, with_postgresql=database == POSTGRESQL, **environment))
        return sites[-1]

    with django_db_blocker.unblock():
        yield make
    for site in sites:
        site.stop()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """A site with the default settings; no process is started."""
    return make_site()


@pytest.fixture
def site_context(site: Site) -> Iterator[Site]:
    """A site with Redis and without workers, whose database and settings this process uses."""
    site.start_redis()
    with site.entered():
        yield site
