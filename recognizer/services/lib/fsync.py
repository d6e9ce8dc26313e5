"""Durability: accepted submissions must survive a power failure, with at most one fsync per group of submissions.

The commit of a submission does not wait for the disk; one `flush` for all concurrent requests follows while the worker
predicts. See docs/adr/0006-group-commit.md.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from django.db import connection

from .group_commit import GroupCommit

if TYPE_CHECKING:
    from django.db.backends.sqlite3.base import DatabaseWrapper as SQLiteWrapper

# Files that are open at the same time.
FILES_AT_ONCE = 64
CHECKPOINT_TIMEOUT_SECONDS = 0.2


@contextmanager
def relaxed_sync() -> Iterator[None]:
    """Commit without fsync in this context: the data can be recomputed after a power failure, or `flush` follows.

    Must enclose the outermost transaction; inside a transaction it has no effect.
    """
    if not _can_relax_sync():
        yield
        return
    _set_synchronous("NORMAL")
    try:
        yield
    finally:
        _set_synchronous("FULL")


def flush(files: Sequence[str]) -> None:
    """Block until these files and all previous commits are on the disk; concurrent calls share one fsync."""
    database = connection.settings_dict["NAME"] if _can_relax_sync() else None
    if files or database:
        _disk(database).submit(files)


def empty_write_ahead_log() -> bool:
    """Checkpoint SQLite's write-ahead log and truncate it, because it contains pages with deleted rows.

    Returns:
        Whether the log is empty now. False if a reader does not finish within CHECKPOINT_TIMEOUT_SECONDS: a longer
        wait would block writers too.
    """
    if not _can_relax_sync():
        return False
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (busy_timeout,) = cursor.fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {CHECKPOINT_TIMEOUT_SECONDS * 1000:.0f}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (is_busy, _, _) = cursor.fetchone()
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {busy_timeout}")
    return not is_busy


def _can_relax_sync() -> bool:
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return False
    return not cast("SQLiteWrapper", connection).is_in_memory_db()


def _set_synchronous(level: str) -> None:
    connection.ensure_connection()
    # Bypass Django's cursor wrapper: it is 10x slower for this PRAGMA.
    connection.connection.execute(f"PRAGMA synchronous={level}")


@cache
def _disk(database: str | Path | None) -> GroupCommit[Sequence[str]]:
    """Return the group commit that syncs files and the commits of an SQLite database."""

    def sync(batch: Sequence[Sequence[str]]) -> None:
        paths = list(dict.fromkeys(chain.from_iterable(batch)))
        for start in range(0, len(paths), FILES_AT_ONCE):
            sync_files(paths[start : start + FILES_AT_ONCE])
        if database is not None and not sync_files([f"{database}-wal"]):
            # The last connection was closed, so the commits are in the database file.
            sync_files([str(database)])

    return GroupCommit(sync)


def sync_files(paths: Sequence[str]) -> int:
    """Sync the files or folders that exist, and return how many do; an image may be deleted with its submission."""
    with ExitStack() as stack:
        descriptors = []
        for path in paths:
            with suppress(FileNotFoundError):
                descriptors.append(os.open(path, os.O_RDONLY))
                stack.callback(os.close, descriptors[-1])
        if len(descriptors) > 1 and hasattr(os, "posix_fadvise"):
            # Linux starts to write all files, and the first fsync covers most of the others: ten files take half the
            # time and a third of the CPU time. Not available on macOS.
            for descriptor in descriptors:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        for descriptor in descriptors:
            os.fsync(descriptor)
        return len(descriptors)
