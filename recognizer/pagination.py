"""Keyset pagination of lists, for History and the API.

A cursor contains the key of the row before (or after) the page; the last key of every ordering is the id, which is
unique. See docs/adr/0013-keyset-pagination.md.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import QueryDict

PARAMETERS = ("cursor", "page_size")
PAGE_SIZE = 50
MAX_PAGE_SIZE = 200


@dataclass(frozen=True, slots=True)
class Page:
    """A page of rows.

    Attributes:
        rows: Model instances in the order of the list.
        next_cursor: Cursor of the next page, or None on the last page.
        previous_cursor: Cursor of the previous page, or None on the first page.
    """

    rows: list[Any]
    next_cursor: str | None
    previous_cursor: str | None


def check_parameters(parameters: QueryDict) -> None:
    """Reject empty and repeated parameters, which the OpenAPI document forbids and HTML pages accept.

    Raises:
        ValidationError: Messages by parameter.
    """
    messages = {
        name: ["Write it once, with a value."]
        for name in PARAMETERS
        if name in parameters and (len(parameters.getlist(name)) > 1 or not (parameters[name] or name == "cursor"))
    }
    if messages:
        raise ValidationError(messages)


def paginate(rows: QuerySet[Any], parameters: Mapping[str, str]) -> Page:
    """Return a page of rows.

    Args:
        rows: Ordered by plain columns that are not null; the last one is unique.
        parameters: `cursor` and `page_size` select the page; others are ignored.

    Raises:
        ValidationError: One of the two parameters is invalid; the message is under its name.
    """
    size = _page_size(parameters.get("page_size", ""))
    ordering = [str(name) for name in rows.query.order_by or rows.query.get_meta().ordering or ()]
    keys = [(name.removeprefix("-"), name.startswith("-")) for name in ordering]
    values, is_backwards = _decode_cursor(parameters.get("cursor", ""), len(keys))
    if is_backwards:
        keys = [(name, not descending) for name, descending in keys]
        rows = rows.reverse()
    if values:
        rows = rows.filter(_keyset_condition(keys, values))
    # First the ids, from an index that covers filters and ordering; then the complete rows with their joins.
    ids = list(rows.values_list("pk", flat=True)[: size + 1])
    selected = list(rows.filter(pk__in=ids)) if ids else []
    has_more, selected = len(ids) > size, selected[:size]
    if is_backwards:
        selected.reverse()
    columns = [name for name, _ in keys]
    has_next, has_previous = (bool(values), has_more) if is_backwards else (has_more, bool(values))
    return Page(
        rows=selected,
        next_cursor=_encode_cursor(selected[-1], columns, is_backwards=False) if selected and has_next else None,
        previous_cursor=_encode_cursor(selected[0], columns, is_backwards=True) if selected and has_previous else None,
    )


def _page_size(text: str) -> int:
    if not text:
        return PAGE_SIZE
    # The length is checked first, because `int` rejects numbers of thousands of digits.
    if not (text.isdecimal() and len(text) <= 4) or not 1 <= int(text) <= MAX_PAGE_SIZE:
        raise ValidationError({"page_size": [f"Write a number from 1 to {MAX_PAGE_SIZE}."]})
    return int(text)


def _keyset_condition(keys: list[tuple[str, bool]], values: list[float]) -> Q:
    """Return the condition for rows after a key: (a, b) > (x, y) if a > x, or a = x and b > y.

    Args:
        keys: Column names and whether each is descending.
        values: The key, one value for each column.
    """
    condition, equal_so_far = Q(), Q()
    for (name, descending), value in zip(keys, values, strict=True):
        condition |= equal_so_far & Q(**{f"{name}__{'lt' if descending else 'gt'}": value})
        equal_so_far &= Q(**{name: value})
    return condition


def _encode_cursor(row: object, columns: list[str], *, is_backwards: bool) -> str:
    content = [is_backwards, *(getattr(row, column) for column in columns)]
    return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str, column_count: int) -> tuple[list[float], bool]:
    """Return the key in a cursor and whether the page lies before it.

    Raises:
        ValidationError: The cursor is malformed or belongs to another ordering.
    """
    if not cursor:
        return [], False
    try:
        content = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        is_backwards, *values = content
    except (binascii.Error, ValueError, TypeError, RecursionError):
        is_backwards, values = None, []
    are_numbers = all(isinstance(value, int | float) and abs(value) < 2**63 for value in values)
    if not isinstance(is_backwards, bool) or len(values) != column_count or not are_numbers:
        raise ValidationError({"cursor": ["This cursor does not belong to this list. Start again without a cursor."]})
    return values, is_backwards
