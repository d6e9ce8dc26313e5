"""Pages of long lists by key, for History and the API: as quick at the end as at the beginning, stable while rows come.

A cursor says after (or before) which row a page begins, so a row that is added meanwhile neither doubles nor hides
another one. The last key of every ordering is the id, which no two rows share.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import QueryDict

PARAMETERS = ("cursor", "page_size")
PAGE_SIZE = 50
MAX_PAGE_SIZE = 200


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, and the cursors of the pages beside it; None where there is none."""

    rows: list
    next_cursor: str | None
    previous_cursor: str | None


def check_parameters(parameters: QueryDict) -> None:
    """Refuse what the API's document forbids and a page of ours would forgive: no value, or several.

    Raises:
        ValidationError: with a message for each parameter.
    """
    messages = {
        name: ["Write it once, with a value."]
        for name in PARAMETERS
        if name in parameters and (len(parameters.getlist(name)) > 1 or not (parameters[name] or name == "cursor"))
    }
    if messages:
        raise ValidationError(messages)


def paginate(rows: QuerySet, parameters: Mapping[str, str]) -> Page:
    """The page of `rows` that `cursor` and `page_size` in `parameters` ask for.

    Args:
        rows: ordered by plain columns, the last of them unique; no column of the ordering is null.

    Raises:
        ValidationError: one of the two parameters cannot be understood; the message is under its name.
    """
    size = _page_size(parameters.get("page_size", ""))
    ordering = rows.query.order_by or rows.query.get_meta().ordering
    keys = [(name.removeprefix("-"), name.startswith("-")) for name in ordering]
    values, backwards = _read(parameters.get("cursor", ""), len(keys))
    if backwards:
        keys = [(name, not descending) for name, descending in keys]
        rows = rows.reverse()
    if values:
        rows = rows.filter(_keyset_condition(keys, values))
    # First which rows, from an index that holds all that is asked for; then those few whole, with what is joined.
    ids = list(rows.values_list("pk", flat=True)[: size + 1])
    found = list(rows.filter(pk__in=ids)) if ids else []
    has_more, found = len(ids) > size, found[:size]
    if backwards:
        found.reverse()
    columns = [name for name, _ in keys]
    has_next, has_previous = (bool(values), has_more) if backwards else (has_more, bool(values))
    return Page(
        rows=found,
        next_cursor=_write(found[-1], columns, backwards=False) if found and has_next else None,
        previous_cursor=_write(found[0], columns, backwards=True) if found and has_previous else None,
    )


def _page_size(given: str) -> int:
    if not given:
        return PAGE_SIZE
    # Short first: Python refuses to read a number of thousands of digits.
    if not (given.isdecimal() and len(given) <= 4) or not 1 <= int(given) <= MAX_PAGE_SIZE:
        raise ValidationError({"page_size": [f"Write a number from 1 to {MAX_PAGE_SIZE}."]})
    return int(given)


def _keyset_condition(keys: list[tuple[str, bool]], values: list[float]) -> Q:
    """(a, b) after (x, y): a after x, or a equal to x and b after y."""
    condition, equal_so_far = Q(), Q()
    for (name, descending), value in zip(keys, values, strict=True):
        condition |= equal_so_far & Q(**{f"{name}__{'lt' if descending else 'gt'}": value})
        equal_so_far &= Q(**{name: value})
    return condition


def _write(row: object, columns: list[str], *, backwards: bool) -> str:
    content = [backwards, *(getattr(row, column) for column in columns)]
    return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode().rstrip("=")


def _read(cursor: str, columns: int) -> tuple[list[float], bool]:
    if not cursor:
        return [], False
    try:
        content = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        backwards, *values = content
    except (binascii.Error, ValueError, TypeError, RecursionError):
        backwards, values = None, []
    numbers = all(isinstance(value, int | float) and abs(value) < 2**63 for value in values)
    if not isinstance(backwards, bool) or len(values) != columns or not numbers:
        raise ValidationError({"cursor": ["This is no page of this list. Begin again without a cursor."]})
    return values, backwards
