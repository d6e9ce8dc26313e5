"""Errors that several services raise and every entry point knows how to answer."""


class BusyError(RuntimeError):
    """A shared resource is taken; the message says so to the sender, who may try again after `wait` seconds."""

    wait = 2
