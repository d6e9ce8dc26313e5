"""Context manager for another default database than the one of the settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def default_database(database: dict[str, Any]) -> Iterator[None]:
    """Use `database`, entries of Django's DATABASES setting, as the default database within the block."""
    from django.db import connections

    outer_settings, outer_connection = connections.settings["default"], connections["default"]
    connections.settings["default"] = outer_settings | database | {"TEST": outer_settings["TEST"]}
    del connections["default"]
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"], connections["default"] = outer_settings, outer_connection
