"""What is accepted shall survive a power cut, and nobody shall wait for the disk longer than that needs.

Called by services.submissions and services.predictions, and by the storage of pictures (recognizer.storage).

Everywhere else a commit waits for the disk (`synchronous=FULL`), one after the other, and each file does. That is right
and slow: a disk answers within 0.2 to 5 ms, and a submission would pay three times: picture, row, prediction. Here its
row is committed and handed over first, and while the worker computes, picture and row go to the disk together; what
others committed meanwhile shares the same wait. PostgreSQL gathers commits by itself, so there only files are deferred.
https://www.sqlite.org/pragma.html#pragma_synchronous
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from django.db import connection

# Files that are waited for at the same time: the file system gathers what comes together.
FILES_AT_ONCE = 32


class GroupSync:
    """Many threads wait for the disk, one of them asks it. Thread-safe.

    `sync` brings to the disk whatever was written before it was called.
    """

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._condition = threading.Condition()
        self._asked = self._done = 0
        self._running = False

    def wait(self) -> None:
        """Return once a `sync` that began after this call has ended. Raises what it raised."""
        with self._condition:
            self._asked += 1
            mine = self._asked
            while self._done < mine:
                if self._running:
                    self._condition.wait()
                else:
                    self._lead()

    def _lead(self) -> None:
        """Sync for all who ask up to now; whoever comes later waits for the next one."""
        covered, self._running = self._asked, True
        self._condition.release()
        try:
            self._sync()
        finally:
            self._condition.acquire()
            self._running = False
            self._condition.notify_all()
        self._done = covered


_deferred: ContextVar[list[Path] | None] = ContextVar("files that are synced later", default=None)


def files_for_later() -> list[Path] | None:
    """Within `together` the list to which a file that was written goes, for it waits at the end; else None."""
    return _deferred.get()


@contextmanager
def together() -> Iterator[None]:
    """Files and commits within do not wait for the disk; leaving waits for all of them, unless an exception leaves.

    Around the outermost transaction, in which alone it makes a difference to commits.
    """
    files: list[Path] = []
    token = _deferred.set(files)
    commits_return = _commits_can_return()
    try:
        with _early_commits() if commits_return else nullcontext():
            yield
    finally:
        _deferred.reset(token)
    syncs = [_pool().submit(_sync_file, path) for path in files]
    if commits_return:
        _write_ahead_log(connection.settings_dict["NAME"]).wait()
    for sync in syncs:
        sync.result()


@contextmanager
def repeatable() -> Iterator[None]:
    """Commits within do not wait for the disk at all: what a power cut takes away is computed again."""
    with _early_commits() if _commits_can_return() else nullcontext():
        yield


def _commits_can_return() -> bool:
    return connection.vendor == "sqlite" and not connection.in_atomic_block and not connection.is_in_memory_db()


@contextmanager
def _early_commits() -> Iterator[None]:
    _set_synchronous("NORMAL")
    try:
        yield
    finally:
        _set_synchronous("FULL")


def _set_synchronous(level: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA synchronous={level}")


@cache
def _write_ahead_log(database: str | Path) -> GroupSync:
    """Of one SQLite file: commits are in its log, or, when nobody has it open any more, in the file itself."""

    def sync() -> None:
        try:
            _sync_file(Path(f"{database}-wal"))
        except FileNotFoundError:
            _sync_file(Path(database))

    return GroupSync(sync)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="sync")


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
