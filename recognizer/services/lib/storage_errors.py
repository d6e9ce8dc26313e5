"""Translate errors of a full or unwritable disk or database: nothing was stored, and the sender is not at fault."""

import errno
import logging

from .errors import BusyError

log = logging.getLogger(__name__)

FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT}
UNWRITABLE_ERRNOS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}
# Primary result codes of https://www.sqlite.org/rescode.html: SQLITE_FULL; PERM, READONLY, IOERR, CANTOPEN.
FULL_SQLITE_CODES = {13}
UNWRITABLE_SQLITE_CODES = {3, 8, 10, 14}
# https://www.postgresql.org/docs/current/errcodes-appendix.html: disk_full; read_only_sql_transaction and
# insufficient_privilege.
FULL_SQLSTATES = {"53100"}
UNWRITABLE_SQLSTATES = {"25006", "42501"}


class StorageError(BusyError):
    """Nothing can be stored, because something here may not be written. `code` is for programs."""

    code = "storage_unavailable"
    wait = 60

    def __init__(self) -> None:
        super().__init__(
            "This site cannot write to its storage, so nothing was stored. Please tell whoever runs this site."
        )


class StorageFullError(StorageError):
    """Nothing can be stored, because there is no room left."""

    code = "storage_full"

    def __init__(self) -> None:
        RuntimeError.__init__(
            self, "There is no room left here, so nothing was stored. Please tell whoever runs this site."
        )


def log_storage_error(refusal: StorageError) -> None:
    """Say once, and for the operator, what the sender is not told: which file, or which answer of the database."""
    log.critical("%s: %s", refusal.code, refusal.__cause__)


def storage_error_of(error: BaseException | None) -> StorageError | None:
    """Return what `error`, or its cause, means where the storage is full or unwritable; None for any other error."""
    while error is not None and not isinstance(error, StorageError):
        refusal: StorageError | None = None
        if _is_one_of(error, FULL_ERRNOS, FULL_SQLITE_CODES, FULL_SQLSTATES):
            refusal = StorageFullError()
        elif _is_one_of(error, UNWRITABLE_ERRNOS, UNWRITABLE_SQLITE_CODES, UNWRITABLE_SQLSTATES):
            refusal = StorageError()
        if refusal is not None:
            refusal.__cause__ = error
            return refusal
        error = error.__cause__
    return error


def _is_one_of(error: BaseException, errnos: set[int], sqlite_codes: set[int], sqlstates: set[str]) -> bool:
    if isinstance(error, OSError):
        return error.errno in errnos
    # Extended codes have the primary one in their lowest byte.
    code = getattr(error, "sqlite_errorcode", None)
    return (code is not None and code & 0xFF in sqlite_codes) or getattr(error, "sqlstate", None) in sqlstates
