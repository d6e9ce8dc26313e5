"""Sites of earlier releases, as `tests.integration.upgrade.build` packed them: put into a folder, ready to be upgraded.

A later release gets a folder of its own next to 0.9.0 and a line in RELEASES; every test then runs on it as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psycopg

from digitsite.testing import postgresql
from tests.integration.upgrade import archive

HERE = Path(__file__).resolve().parent
BASE_FILES = ("my_model.keras", "model.bundle")


@dataclass(frozen=True)
class Release:
    """One release with its site on each database.

    Attributes:
        name: of the release and of its folder.
    """

    name: str

    @cached_property
    def _files(self) -> dict[str, bytes]:
        folder = HERE / self.name
        base = [(folder / name).read_bytes() for name in BASE_FILES]
        models = archive.unpack((folder / "models.xz").read_bytes(), base)
        return archive.unpack((folder / "sites.xz").read_bytes(), [*base, *models.values()])

    def file(self, engine: str, name: str) -> bytes:
        """Return `facts.json`, `backup.tar` or, of PostgreSQL, `dump.sql`."""
        return self._files[f"{engine}/{name}"]

    def facts(self, engine: str) -> dict:
        """Return what the people of the site know: keys, cookies, tokens, answers; see fill_0_9_0.py."""
        return json.loads(self.file(engine, "facts.json"))

    def secret_key(self, engine: str) -> bytes:
        """Return the key with which the site signed cookies and links."""
        return self.file(engine, "data/secret_key")

    def install(self, engine: str, folder: Path, database: str) -> None:
        """Put the data folder and the rows of the site where a site looks for them.

        Args:
            engine: "sqlite" or "postgresql".
            folder: where the data folder is made.
            database: name of an empty PostgreSQL database; unused with SQLite.
        """
        prefix = f"{engine}/data/"
        for name, data in self._files.items():
            if name.startswith(prefix):
                path = folder / name.removeprefix(prefix)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        if engine == "postgresql":
            with psycopg.connect(postgresql.url(database), autocommit=True) as connection:
                connection.execute(self.file(engine, "dump.sql").decode())


RELEASES = [Release("0.9.0")]
