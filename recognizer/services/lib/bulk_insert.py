"""Inserting rows where a visitor waits for it: `bulk_create` at a quarter of its price.

Django puts the statement together anew each time, and asks thirty columns one by one how they want to be stored. Here
the statement is kept, and what is a number or a text already goes as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

# What every database takes as it is, whatever kind of column it goes into (a JSON one excepted).
PLAIN = frozenset((int, float, str, bool, bytes))
# Of one statement; PostgreSQL takes 65,535.
MAX_PARAMETERS = 10_000
SQLITE_ROWS = 25


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a model. `computes` it, when rows leave it to the field (`auto_now_add`); `is_json` it may be."""

    field: models.Field
    name: str
    computes: bool
    is_json: bool

    def value(self, row: models.Model, database: BaseDatabaseWrapper) -> object:
        """What the statement gets of a row."""
        value = self.field.pre_save(row, add=True) if self.computes else getattr(row, self.name)
        if isinstance(value, Enum):
            value = value.value
        if value is None or (type(value) in PLAIN and not self.is_json):
            return value
        return self.field.get_db_prep_save(value, database)


def insert(rows: Sequence[models.Model]) -> None:
    """Store new rows of one model and set their ids; like `bulk_create` it calls no `save` and sends no signal.

    Called in a transaction, for there may be several statements.

    Raises:
        django.db.DatabaseError: as `bulk_create`.
    """
    if not rows:
        return
    model, database = type(rows[0]), connections[DEFAULT_DB_ALIAS]
    columns = _columns(model)
    with database.cursor() as cursor:
        start = 0
        while start < len(rows):
            some = rows[start : start + _size(len(rows) - start, len(columns), database)]
            values = [column.value(row, database) for row in some for column in columns]
            cursor.execute(_statement(model, len(some)), values)
            for row, (pk,) in zip(some, cursor.fetchall(), strict=True):
                row.pk = pk
                row._state.adding, row._state.db = False, database.alias  # noqa: SLF001 - as Django does
            start += len(some)


def _size(left: int, columns: int, database: BaseDatabaseWrapper) -> int:
    """How many of the rows that are left go into one statement.

    SQLite has no round trip to save, and each connection keeps what it has prepared: tens of kilobytes for each number
    of rows, so there are two.
    """
    if database.vendor == "sqlite":
        return SQLITE_ROWS if left >= SQLITE_ROWS else 1
    return min(left, max(1, MAX_PARAMETERS // columns))


@cache
def _columns(model: type[models.Model]) -> tuple[Column, ...]:
    return tuple(
        Column(
            field=field,
            name=field.attname,
            computes=type(field).pre_save is not models.Field.pre_save,
            is_json=isinstance(field, models.JSONField),
        )
        for field in model._meta.concrete_fields  # noqa: SLF001 - public in all but its name
        if not field.primary_key
    )


@cache
def _statement(model: type[models.Model], count: int) -> str:
    quote, meta = connections[DEFAULT_DB_ALIAS].ops.quote_name, model._meta  # noqa: SLF001
    columns = [quote(column.field.column) for column in _columns(model)]
    row = f"({', '.join(['%s'] * len(columns))})"
    return (
        f"INSERT INTO {quote(meta.db_table)} ({', '.join(columns)}) VALUES {', '.join([row] * count)} "  # noqa: S608
        f"RETURNING {quote(meta.pk.column)}"
    )
