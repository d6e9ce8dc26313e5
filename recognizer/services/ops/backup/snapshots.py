"""The rows of one moment, for as long as a backup is being made: SQLite's and PostgreSQL's way."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from django.db import connection, transaction
from django.db.models import QuerySet

from .archive import DATABASE

SQLITE_MEMBER = f"{DATABASE}db.sqlite3"


class Snapshot(Protocol):
    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple]:
        """What the query gives, with %s for parameters."""

    def tables(self) -> dict[str, dict]:
        """For each table its number of rows, and what restoring it needs."""

    def files(self) -> Iterator[tuple[str, Path]]:
        """The members of the archive that hold the rows; each file is there until the next is asked for."""


@contextlib.contextmanager
def take_snapshot(folder: Path) -> Iterator[Snapshot]:
    """A snapshot of Django's default database; `folder` is empty and has room for a copy of it."""
    if connection.vendor == "sqlite":
        with contextlib.closing(_Sqlite(folder)) as snapshot:
            yield snapshot
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield _Postgresql(folder)


def now(query: QuerySet) -> set:
    """What a query gives at this moment, outside of any snapshot that this thread is in."""

    def ask() -> set:
        try:
            return set(query)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ask).result()


def _count(snapshot: Snapshot, table: str) -> int:
    return snapshot.rows(f'SELECT count(*) FROM "{table}"')[0][0]  # noqa: S608 - a name out of the database itself


class _Sqlite:
    """A copy of the file, made in one step by SQLite itself: writers go on, and it is of one moment."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "db.sqlite3"
        connection.ensure_connection()
        self._copy = sqlite3.connect(self._file)
        connection.connection.backup(self._copy)
        self._copy.execute("PRAGMA journal_mode=DELETE")  # one file, with no log beside it

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple]:
        return self._copy.execute(query.replace("%s", "?"), parameters).fetchall()

    def tables(self) -> dict[str, dict]:
        names = self.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%%'")
        return {name: {"rows": _count(self, name)} for (name,) in sorted(names)}

    def files(self) -> Iterator[tuple[str, Path]]:
        yield SQLITE_MEMBER, self._file

    def close(self) -> None:
        self._copy.close()


class _Postgresql:
    """The transaction that this thread is in; each table goes through COPY, which needs no program beside us."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple]:
        with connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchall()

    def tables(self) -> dict[str, dict]:
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
