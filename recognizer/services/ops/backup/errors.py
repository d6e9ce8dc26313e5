"""Errors of backup and restore."""


class BackupError(RuntimeError):
    """The backup cannot be made or restored; the message says why and what to do. Nothing was changed."""
