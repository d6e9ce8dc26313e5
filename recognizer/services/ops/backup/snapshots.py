"""Consistent snapshots of the database for backups, for SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any, Protocol

from django.db import connection, transaction

from .archive import DATABASE, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SQLITE_MEMBER = f"{DATABASE}db.sqlite3"


class Snapshot(Protocol):
    """A consistent view of the database."""

    def rows(self, query: str, parameters: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """Return the result of a query, which has %s as placeholders."""

    def tables(self) -> dict[str, Table]:
        """Return the description of each table for the manifest."""

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield name and file of each archive member with rows; a file exists until the next one is requested."""


@contextlib.contextmanager
def take_snapshot(folder: Path) -> Iterator[Snapshot]:
    """Take a snapshot of the default database.

    Args:
        folder: An empty folder with enough free space for a copy of the database.
    """
    if connection.vendor == "sqlite":
        with contextlib.closing(_Sqlite(folder)) as snapshot:
            yield snapshot
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield _Postgresql(folder)


def _count(snapshot: Snapshot, table: str) -> int:
    return int(snapshot.rows(f'SELECT count(*) FROM "{table}"')[0][0])  # noqa: S608 - a name from the database


class _Sqlite:
    """A copy of the file, made with SQLite's backup API in one step, so that writers are not blocked."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "db.sqlite3"
        connection.ensure_connection()
        self._copy = sqlite3.connect(self._file)
        connection.connection.backup(self._copy)
        self._copy.execute("PRAGMA journal_mode=DELETE")  # a single file without a log

    def rows(self, query: str, parameters: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        return self._copy.execute(query.replace("%s", "?"), parameters).fetchall()

    def tables(self) -> dict[str, Table]:
        names = self.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%%'")
        return {name: {"rows": _count(self, name)} for (name,) in sorted(names)}

    def files(self) -> Iterator[tuple[str, Path]]:
        yield SQLITE_MEMBER, self._file

    def close(self) -> None:
        self._copy.close()


class _Postgresql:
    """The transaction of this thread. Tables are written with COPY, which needs no external program."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows(self, query: str, parameters: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())

    def tables(self) -> dict[str, Table]:
        with connection.cursor() as cursor:
            return {
                name: {
                    "columns": [column.name for column in connection.introspection.get_table_description(cursor, name)],
                    "rows": _count(self, name),
                }
                for name in connection.introspection.table_names(cursor)
            }

    def files(self) -> Iterator[tuple[str, Path]]:
        for name, table in self.tables().items():
            file = self._folder / name
            columns = ", ".join(f'"{column}"' for column in table["columns"])
            with (
                file.open("wb") as target,
                connection.connection.cursor() as cursor,
                cursor.copy(f'COPY "{name}" ({columns}) TO STDOUT') as rows,
            ):
                for data in rows:
                    target.write(data)
            yield f"{DATABASE}{name}", file
            file.unlink()
