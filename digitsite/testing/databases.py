"""Run a block of code on another database than the one of the settings."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def default_database(database: dict) -> Iterator[None]:
    """Within, `database`, entries of Django's setting, is the default one."""
    from django.db import connections

    outer_settings, outer_connection = connections.settings["default"], connections["default"]
    connections.settings["default"] = outer_settings | database | {"TEST": outer_settings["TEST"]}
    del connections["default"]
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"], connections["default"] = outer_settings, outer_connection
