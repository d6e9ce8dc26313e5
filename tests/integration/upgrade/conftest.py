"""Sites of earlier releases on both databases, upgraded by the code of today."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from digitsite.testing import postgresql
from digitsite.testing.site import BASE_DIR, wait_until
from digitsite.testing.supervised import Supervised

from .releases import RELEASES, Release

ENGINES = ("sqlite", "postgresql")


@dataclass
class Folder:
    """A data folder, with a database of its own where that is PostgreSQL."""

    release: Release
    engine: str
    path: Path
    settings: dict[str, str] = field(default_factory=dict)

    def manage(self, *arguments: str) -> str:
        """Run `manage.py` on this folder, which must work; return what it printed."""
        environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR, env=environment | {"DATA_DIR": str(self.path)} | self.settings,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@dataclass
class Upgraded:
    """A site of an earlier release that the supervisor of today has started.

    Attributes:
        facts: what its people know.
    """

    folder: Folder
    running: Supervised
    facts: dict

    def browser(self, *, session: str = "", visitor: str = "", token: str = "") -> httpx.Client:
        """A client with the cookies or the token that a person had before the upgrade."""
        cookies = {name: value for name, value in (("sessionid", session), ("visitor", visitor)) if value}
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.running.client(cookies=cookies, headers=headers)

    @property
    def operator(self) -> httpx.Client:
        return self.browser(token=self.facts["tokens"]["olga's console"])

    def submission(self, public_id: str) -> dict:
        with self.operator as client:
            return client.get(f"api/v1/submissions/{public_id}").raise_for_status().json()

    def submissions(self) -> Iterator[dict]:
        """All of them, page by page."""
        with self.operator as client:
            address: str | None = "api/v1/submissions?page_size=50"
            while address:
                page = client.get(address).raise_for_status().json()
                yield from page["results"]
                address = page["next"]

    def wait_for_state(self, public_id: str, state: str) -> dict:
        def reached() -> dict | None:
            row = self.submission(public_id)
            return row if row["state"] == state else None

        return wait_until(reached, seconds=60, event=f"the state {state} of {public_id}")


def folder_of(release: Release, engine: str) -> Iterator[Folder]:
    if engine == "postgresql" and postgresql.programs() is None:
        pytest.skip("no PostgreSQL is installed; `python -m digitsite.testing.postgresql` gets one")
    path = Path(tempfile.mkdtemp(prefix="digits-up-"))  # short, for the path of a unix socket
    folder = Folder(release, engine, path)
    try:
        if engine == "postgresql":
            postgresql.create_empty(path.name)
            folder.settings["DATABASE_URL"] = postgresql.url(path.name)
        yield folder
    finally:
        if engine == "postgresql":
            postgresql.drop(path.name)
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(params=RELEASES, ids=[release.name for release in RELEASES], scope="package")
def release(request: pytest.FixtureRequest) -> Release:
    return request.param


@pytest.fixture(params=ENGINES)
def empty_folder(release: Release, request: pytest.FixtureRequest) -> Iterator[Folder]:
    """A folder without a site."""
    yield from folder_of(release, request.param)


@pytest.fixture(params=ENGINES, scope="module")
def upgraded(release: Release, request: pytest.FixtureRequest) -> Iterator[Upgraded]:
    """All tests of a module use the same site; what one of them changes, others must not rely on."""
    with contextlib.contextmanager(folder_of)(release, request.param) as folder:
        release.install(folder.engine, folder.path, folder.path.name)
        with Supervised(folder.path, TRAINER="0", **folder.settings) as running:
            running.wait_until_it_answers()
            yield Upgraded(folder, running, release.facts(folder.engine))
