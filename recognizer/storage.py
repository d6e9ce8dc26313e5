"""Where kept pictures live on disk: a file appears under its name whole or not at all, and its data goes to the disk
before whoever sent it hears that it is stored.

Named in `STORAGES["default"]`. Another storage (S3-compatible, say) can stand there instead, if saving under an
existing name replaces the file.
"""

import os
import secrets
from pathlib import Path

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage

from recognizer.services import durability

DRAFT_SUFFIX = ".draft"


class DurableFileStorage(FileSystemStorage):
    """Names follow from the content (services.pictures), so a name that exists already is replaced by its equal."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:  # noqa: ARG002
        return name

    def _save(self, name: str, content: File) -> str:
        target, later = Path(self.path(name)), durability.files_for_later()
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}{DRAFT_SUFFIX}")
        try:
            # The folder is not synced too (4 ms more on a common disk): the commit of the row, which follows, goes
            # through the same file system's journal and takes the new name along.
            with draft.open("xb") as file:
                for chunk in content.chunks():
                    file.write(chunk)
                if self.file_permissions_mode is not None:
                    os.fchmod(file.fileno(), self.file_permissions_mode)
                file.flush()
                if later is None:
                    os.fsync(file.fileno())
            draft.replace(target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        if later is not None:
            later.append(target)
        return name
