"""Where kept pictures live on disk: a file appears under its name whole or not at all, and its data goes to the disk
before whoever sent it hears that it is stored.

Named in `STORAGES["default"]`. Another storage (S3-compatible, say) can stand there instead, if saving under an
existing name replaces the file.
"""

import os
import secrets
from contextlib import suppress
from typing import BinaryIO

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage

from recognizer.services.lib import fsync

DRAFT_SUFFIX = ".draft"


class DurableFileStorage(FileSystemStorage):
    """Names follow from the content (images.storage), so a name that exists already is replaced by its equal."""

    def save(self, name: str, content: File, max_length: int | None = None) -> str:  # noqa: ARG002
        """Django would look at the name three times, and for another one if it is taken: half of what a file takes. It
        comes from no stranger, and `path` lets none lead out of the folder."""
        return self._save(name, content)

    def _save(self, name: str, content: File) -> str:
        # Plain strings: a path object takes longer to make than a file.
        target, later = self.path(name), fsync.deferred_files()
        draft = f"{target}.{secrets.token_hex(4)}{DRAFT_SUFFIX}"
        try:
            # The folder is not synced too (4 ms more on a common disk): the commit of the row, which follows, goes
            # through the same file system's journal and takes the new name along.
            with self._opened(draft) as file:
                for chunk in content.chunks():
                    file.write(chunk)
                if self.file_permissions_mode is not None:
                    os.fchmod(file.fileno(), self.file_permissions_mode)
                if later is None:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(draft, target)  # noqa: PTH105
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(draft)  # noqa: PTH108
            raise
        if later is not None:
            later.append(target)
        return name

    def _opened(self, path: str) -> BinaryIO:
        """A new file; its folder is made when it is missing, which is seldom."""
        try:
            return open(path, "xb")  # noqa: PTH123
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            return open(path, "xb")  # noqa: PTH123
