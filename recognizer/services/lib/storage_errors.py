"""Translation of errors of a full or read-only disk or database into errors for the client."""

import errno

from .errors import BusyError

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
    """The storage is not writable, so nothing was stored.

    `code` is the machine-readable reason. The cause (an error of a file or of the database) is for the log only.
    """

    code = "storage_unavailable"
    wait = 60

    def __init__(self) -> None:
        super().__init__("This site cannot write to its storage, so nothing was stored. Please tell its operator.")


class StorageFullError(StorageError):
    """The storage is full, so nothing was stored."""

    code = "storage_full"

    def __init__(self) -> None:
        RuntimeError.__init__(self, "There is no room left here, so nothing was stored. Please tell its operator.")


def storage_error_of(error: BaseException | None) -> StorageError | None:
    """Return the storage error that `error` or one of its causes stands for; None for any other error."""
    while error is not None and not isinstance(error, StorageError):
        storage_error: StorageError | None = None
        if _has_code(error, FULL_ERRNOS, FULL_SQLITE_CODES, FULL_SQLSTATES):
            storage_error = StorageFullError()
        elif _has_code(error, UNWRITABLE_ERRNOS, UNWRITABLE_SQLITE_CODES, UNWRITABLE_SQLSTATES):
            storage_error = StorageError()
        if storage_error is not None:
            storage_error.__cause__ = error
            return storage_error
        error = error.__cause__
    return error


def _has_code(error: BaseException, errnos: set[int], sqlite_codes: set[int], sqlstates: set[str]) -> bool:
    if isinstance(error, OSError):
        return error.errno in errnos
    # The lowest byte of an extended result code is the primary code.
    code = getattr(error, "sqlite_errorcode", None)
    return (code is not None and code & 0xFF in sqlite_codes) or getattr(error, "sqlstate", None) in sqlstates
