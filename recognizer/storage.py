"""Image files on disk: each file appears under its name complete or not at all.

Used as `STORAGES["default"]`.
"""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from django.core.files.storage import FileSystemStorage

if TYPE_CHECKING:
    from django.core.files.base import File

TEMPORARY_SUFFIX = ".draft"


class DurableFileStorage(FileSystemStorage):
    """File storage for content-addressed names: saving under an existing name replaces the equal file."""

    def save(self, name: str | None, content: IO[Any], max_length: int | None = None) -> str:  # noqa: ARG002
        """Save a file under exactly this name, on the disk when the call returns."""
        self._write(str(name), cast("File[Any]", content).chunks(), is_synced=True)
        return str(name)

    def save_unsynced(self, name: str, data: bytes) -> str:
        """Save a file under exactly this name, and return the path that `fsync.flush` syncs.

        Skips Django's three checks of the name and its search for an unused one, which take half of the time of a
        save: the name is not user input, and `path` rejects names outside of the storage.
        """
        return self._write(name, (data,), is_synced=False)

    def _write(self, name: str, chunks: Iterable[bytes], *, is_synced: bool) -> str:
        # Plain strings: creating a Path takes longer than creating a file.
        target = self.path(name)
        temporary = f"{target}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
        try:
            # The directory is not synced (4 ms more on a common disk): the commit of the row, which follows, goes
            # through the journal of the same file system and includes the new name.
            with self._create(temporary) as file:
                for chunk in chunks:
                    file.write(chunk)
                if self.file_permissions_mode is not None:
                    os.fchmod(file.fileno(), self.file_permissions_mode)
                if is_synced:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, target)  # noqa: PTH105
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108
            raise
        return target

    def _create(self, path: str) -> BinaryIO:
        """Create a file, and its folder if it is missing, which is rare."""
        try:
            return open(path, "xb")  # noqa: PTH123
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            return open(path, "xb")  # noqa: PTH123
