"""Inserting rows where a visitor waits for it: `bulk_create` at a quarter of its price.

Django puts the statement together anew each time, and asks thirty columns one by one how they want to be stored. Here
the statement is kept, and what is a number or a text already goes as it is. Called by services.storing.
"""

from collections.abc import Sequence
from functools import cache

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

# What every database takes as it is, whatever kind of column it goes into (a JSON one excepted).
PLAIN = frozenset((int, float, str, bool, bytes, type(None)))
# Of one statement, where the database has no limit of its own.
MOST_PARAMETERS = 10_000


def insert(rows: Sequence[models.Model]) -> None:
    """Store new rows of one model and set their ids; like `bulk_create` it calls no `save` and sends no signal.

    Called in a transaction, for there may be several statements.

    Raises:
        django.db.DatabaseError: as `bulk_create`.
    """
    if not rows:
        return
    model, database = type(rows[0]), connections[DEFAULT_DB_ALIAS]
    fields = _fields(model)
    at_once = max(1, (database.features.max_query_params or MOST_PARAMETERS) // len(fields))
    with database.cursor() as cursor:
        for start in range(0, len(rows), at_once):
            some = rows[start : start + at_once]
            cursor.execute(
                _statement(model, len(some)), [_value(row, field, database) for row in some for field in fields]
            )
            for row, (pk,) in zip(some, cursor.fetchall(), strict=True):
                row.pk = pk
                row._state.adding, row._state.db = False, database.alias  # noqa: SLF001 - as Django does


@cache
def _fields(model: type[models.Model]) -> tuple[models.Field, ...]:
    return tuple(field for field in model._meta.concrete_fields if not field.primary_key)  # noqa: SLF001


@cache
def _statement(model: type[models.Model], count: int) -> str:
    quote, meta = connections[DEFAULT_DB_ALIAS].ops.quote_name, model._meta  # noqa: SLF001
    columns = [quote(field.column) for field in _fields(model)]
    row = f"({', '.join(['%s'] * len(columns))})"
    return (
        f"INSERT INTO {quote(meta.db_table)} ({', '.join(columns)}) VALUES {', '.join([row] * count)} "  # noqa: S608
        f"RETURNING {quote(meta.pk.column)}"
    )


def _value(row: models.Model, field: models.Field, database: BaseDatabaseWrapper) -> object:
    value = field.pre_save(row, add=True)
    if type(value) in PLAIN and not isinstance(field, models.JSONField):
        return value
    return field.get_db_prep_save(value, database)
