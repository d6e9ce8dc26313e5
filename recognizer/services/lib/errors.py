"""Errors that several services raise and every entry point translates, and `detach` for errors that are stored."""

from typing import TypeVar

E = TypeVar("E", bound=BaseException)


class BusyError(RuntimeError):
    """A shared resource has no free slot. The message is meant for the client, which may retry after `wait` seconds."""

    wait = 2


def detach(error: E) -> E:
    """Return the error without its traceback and without the errors that caused it.

    A traceback references every frame between raise and except, and their callers, with all their variables. An error
    that is stored in one of these variables is therefore a reference cycle that keeps the request body in memory, and
    the web server rarely runs the cycle collector (see digitsite/asgi.py).
    """
    causes = [error.__cause__, error.__context__]
    error.__cause__ = error.__context__ = None
    for cause in causes:
        if cause is not None:
            detach(cause)
    return error.with_traceback(None)
