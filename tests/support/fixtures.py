"""Fixtures for tests that need real processes; tests/conftest.py loads them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from digitsite.testing.site import Site, migrated_database

from .databases import POSTGRESQL


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_database(tmp_path_factory.mktemp("template"))


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
