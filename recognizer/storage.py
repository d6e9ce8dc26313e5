"""Image files on disk: each file appears under its name complete or not at all, and is synced before the response.

Used as `STORAGES["default"]`. Another storage (for example S3-compatible) can replace it if saving under an existing
name replaces the file.
"""

import os
import secrets
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from django.core.files.storage import FileSystemStorage

from recognizer.services.lib import fsync

if TYPE_CHECKING:
    from django.core.files.base import File

TEMPORARY_SUFFIX = ".draft"


class DurableFileStorage(FileSystemStorage):
    """File storage for content-addressed names: saving under an existing name replaces the equal file."""

    def save(self, name: str | None, content: IO[Any], max_length: int | None = None) -> str:  # noqa: ARG002
        """Save a file under exactly this name.

        Skips Django's three checks of the name and its search for an unused one, which take half of the time of a
        save: the name is not user input, and `path` rejects names outside of the storage.
        """
        return self._save(str(name), cast("File[Any]", content))

    def _save(self, name: str, content: "File[Any]") -> str:
        # Plain strings: creating a Path takes longer than creating a file.
        target, deferred = self.path(name), fsync.deferred_files()
        temporary = f"{target}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
        try:
            # The directory is not synced (4 ms more on a common disk): the commit of the row, which follows, goes
            # through the journal of the same file system and includes the new name.
            with self._create(temporary) as file:
                for chunk in content.chunks():
                    file.write(chunk)
                if self.file_permissions_mode is not None:
                    os.fchmod(file.fileno(), self.file_permissions_mode)
                if deferred is None:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, target)  # noqa: PTH105
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108
            raise
        if deferred is not None:
            deferred.append(target)
        return name

    def _create(self, path: str) -> BinaryIO:
        """Create a file, and its folder if it is missing, which is rare."""
        try:
            return open(path, "xb")  # noqa: PTH123
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            return open(path, "xb")  # noqa: PTH123
