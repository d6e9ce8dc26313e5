"""What is accepted shall survive a power cut, and nobody shall wait for the disk longer than that needs.

Everywhere else a commit waits for the disk (`synchronous=FULL`), one after the other, and each file does. That is right
and slow: a disk answers within 0.2 to 5 ms, and a submission would pay three times: picture, row, prediction. Here its
row is committed and handed over first, and while the worker computes, picture and row go to the disk together; what
others committed meanwhile shares the same wait. PostgreSQL gathers commits by itself, so there only files are deferred.
https://www.sqlite.org/pragma.html#pragma_synchronous
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from itertools import chain
from pathlib import Path

from django.db import connection

from .gathering import Gathering

# Files that are open at the same time to be waited for.
FILES_AT_ONCE = 64
CHECKPOINT_TIMEOUT_SECONDS = 0.2

_deferred: ContextVar[list[str] | None] = ContextVar("files that are synced later", default=None)


def deferred_files() -> list[str] | None:
    """Return the list of files to be synced later within `deferred_sync`, or None: files are synced at once."""
    return _deferred.get()


@contextmanager
def deferred_sync(files: list[str]) -> Iterator[None]:
    """Pictures that are written within do not wait for the disk; they are added to `files`, for which `flush` waits."""
    token = _deferred.set(files)
    try:
        yield
    finally:
        _deferred.reset(token)


@contextmanager
def relaxed_sync() -> Iterator[None]:
    """Commits within do not wait for the disk: what a power cut takes away is computed again, or `flush` follows.

    Around the outermost transaction, in which alone it makes a difference.
    """
    if not _commits_can_return():
        yield
        return
    _set_synchronous("NORMAL")
    try:
        yield
    finally:
        _set_synchronous("FULL")


def flush(files: Sequence[str]) -> None:
    """Return once these files, and whatever was committed before, are on the disk; many who wait ask it once."""
    database = connection.settings_dict["NAME"] if _commits_can_return() else None
    if files or database:
        _disk(database).bring(files)


def empty_write_ahead_log() -> bool:
    """Write SQLite's log back into the database file and cut it to nothing: it holds pages with rows deleted since.

    Returns:
        Whether the log is empty now. Not while somebody reads for longer than LOG_PATIENCE_SECONDS: writers would have
        to wait as well.
    """
    if not _commits_can_return():
        return False
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (before,) = cursor.fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {CHECKPOINT_TIMEOUT_SECONDS * 1000:.0f}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (is_busy, _, _) = cursor.fetchone()
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {before}")
    return not is_busy


def _commits_can_return() -> bool:
    return connection.vendor == "sqlite" and not connection.in_atomic_block and not connection.is_in_memory_db()


def _set_synchronous(level: str) -> None:
    connection.ensure_connection()
    # Past Django's cursors, which take ten times as long as this does.
    connection.connection.execute(f"PRAGMA synchronous={level}")


@cache
def _disk(database: str | Path | None) -> Gathering[Sequence[str]]:
    """Syncs files and, of an SQLite database, what was committed: it is in the log, or, when nobody has the database
    open any more, in the file itself.
    """

    def sync(brought: Sequence[Sequence[str]]) -> None:
        paths = list(dict.fromkeys(chain.from_iterable(brought)))
        for start in range(0, len(paths), FILES_AT_ONCE):
            _sync_pictures(paths[start : start + FILES_AT_ONCE])
        if database is not None:
            try:
                _sync_file(f"{database}-wal")
            except FileNotFoundError:
                _sync_file(str(database))

    return Gathering(sync)


def _sync_pictures(paths: Sequence[str]) -> None:
    with ExitStack() as opened:
        descriptors = []
        for path in paths:
            # One that is gone went with its last submission, which somebody has just deleted.
            with suppress(FileNotFoundError):
                descriptors.append(os.open(path, os.O_RDONLY))
                opened.callback(os.close, descriptors[-1])
        if len(descriptors) > 1 and hasattr(os, "posix_fadvise"):
            # Linux begins to write them all, and the first wait brings most of the others along: ten files take half
            # the time, and a third of the processor's. macOS has no such call.
            for descriptor in descriptors:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        for descriptor in descriptors:
            os.fsync(descriptor)


def _sync_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
