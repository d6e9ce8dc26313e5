"""Bulk insert for the submission path: `bulk_create` with a cached statement. See docs/adr/0011-bulk-insert.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

# Types that every database driver accepts unchanged for every type of column except JSON.
PLAIN_TYPES = frozenset((int, float, str, bool, bytes))
# Parameters of one statement; PostgreSQL accepts 65,535.
MAX_PARAMETERS = 10_000
SQLITE_BATCH_SIZE = 25


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a model.

    Attributes:
        field: the model field.
        name: the attribute that holds the value.
        computes: whether the field computes the value when a row is added (`auto_now_add`).
        is_json: whether the column holds JSON.
    """

    field: "models.Field[Any, Any]"
    name: str
    computes: bool
    is_json: bool

    def value(self, row: models.Model, database: BaseDatabaseWrapper) -> Any:
        """Return the row's value as a parameter of the statement."""
        value = self.field.pre_save(row, add=True) if self.computes else getattr(row, self.name)
        if isinstance(value, Enum):
            value = value.value
        if value is None or (type(value) in PLAIN_TYPES and not self.is_json):
            return value
        return self.field.get_db_prep_save(value, database)


def insert(rows: Sequence[models.Model]) -> None:
    """Store new rows of one model and set their ids; like `bulk_create` it calls no `save` and sends no signal.

    Call it in a transaction: it may execute several statements.

    Args:
        rows: unsaved instances, all of the same model.

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
            batch = rows[start : start + _batch_size(len(rows) - start, len(columns), database)]
            values = [column.value(row, database) for row in batch for column in columns]
            cursor.execute(_statement(model, len(batch)), values)
            for row, (pk,) in zip(batch, cursor.fetchall(), strict=True):
                row.pk = pk
                row._state.adding, row._state.db = False, database.alias  # noqa: SLF001 - as Django does
            start += len(batch)


def _batch_size(row_count: int, column_count: int, database: BaseDatabaseWrapper) -> int:
    """Return how many of the remaining rows go into the next statement.

    With SQLite there is no round trip to save, and each connection caches its prepared statements: tens of kilobytes
    for each number of rows. So only two numbers of rows are used there.
    """
    if database.vendor == "sqlite":
        return SQLITE_BATCH_SIZE if row_count >= SQLITE_BATCH_SIZE else 1
    return min(row_count, max(1, MAX_PARAMETERS // column_count))


@cache
def _columns(model: type[models.Model]) -> tuple[Column, ...]:
    return tuple(
        Column(
            field=field,
            name=field.attname,
            computes=type(field).pre_save is not models.Field.pre_save,
            is_json=isinstance(field, models.JSONField),
        )
        for field in model._meta.concrete_fields  # noqa: SLF001 - documented API
        if not field.primary_key
    )


@cache
def _statement(model: type[models.Model], row_count: int) -> str:
    quote, meta = connections[DEFAULT_DB_ALIAS].ops.quote_name, model._meta  # noqa: SLF001 - documented API
    columns = [quote(str(column.field.column)) for column in _columns(model)]
    row = f"({', '.join(['%s'] * len(columns))})"
    return (
        f"INSERT INTO {quote(meta.db_table)} ({', '.join(columns)}) VALUES {', '.join([row] * row_count)} "  # noqa: S608
        f"RETURNING {quote(str(meta.pk.column))}"
    )
