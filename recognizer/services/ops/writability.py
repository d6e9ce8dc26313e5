"""Write access of the current account to the site's folders and database. The check takes less than a millisecond."""

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection

from recognizer.services.images.orphaned_files import FOLDER

# Folders must be listed, entered and changed.
FOLDER_ACCESS, FILE_ACCESS = os.R_OK | os.W_OK | os.X_OK, os.R_OK | os.W_OK
IS_EFFECTIVE = os.access in os.supports_effective_ids


def unwritable_paths() -> list[str]:
    """Return the folders and files that this process may not write, and "the database" if it is read-only.

    Raises:
        DatabaseError: The database is unavailable.
    """
    paths = [str(path) for path in _folders() if not _has_access(path, FOLDER_ACCESS)]
    if connection.vendor == "sqlite":
        paths += [str(path) for path in _database_files() if not _has_access(path, FILE_ACCESS)]
    else:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            paths += ["the database"] if cursor.fetchone()[0] == "on" else []
    return paths


def _folders() -> Iterator[Path]:
    """Yield the data folder, the image folders (256 at most) and the folder of the embedded Redis."""
    yield settings.DATA_DIR
    root = Path(getattr(default_storage, "location", settings.DATA_DIR))
    # Folders inside one that cannot be entered seem not to exist; reporting the outer one is enough.
    yield from filter(os.path.exists, (settings.DATA_DIR / "redis", root, root / FOLDER))
    try:
        yield from (Path(entry.path) for entry in os.scandir(root / FOLDER) if entry.is_dir())
    except OSError:  # the folder does not exist yet, or was reported above
        return


def _database_files() -> Iterator[Path]:
    """Yield SQLite's file, its folder, its write-ahead log and the index of the log."""
    database = Path(connection.settings_dict["NAME"])
    files = [database, *(database.with_name(database.name + end) for end in ("-wal", "-shm"))]
    if files[0].parent != settings.DATA_DIR:
        files.append(database.parent)
    yield from filter(os.path.exists, files)


def _has_access(path: Path, access: int) -> bool:
    # A file that has just been deleted is not a problem.
    return os.access(path, access, effective_ids=IS_EFFECTIVE) or not os.path.lexists(path)
