"""Errors that several services raise and every entry point knows how to answer, and errors as values."""

from typing import TypeVar

E = TypeVar("E", bound=BaseException)


class BusyError(RuntimeError):
    """A shared resource is taken; the message says so to the sender, who may try again after `wait` seconds."""

    wait = 2


def detach(error: E) -> E:
    """Return the error without its traceback and without the errors that caused it.

    A traceback holds every frame between raise and except, and their callers, with all their variables. An error that
    one of these variables keeps is therefore a reference cycle that holds the request body, and the web server hardly
    ever looks for cycles (see digitsite/asgi.py).
    """
    causes = [error.__cause__, error.__context__]
    error.__cause__ = error.__context__ = None
    for cause in causes:
        if cause is not None:
            detach(cause)
    return error.with_traceback(None)
