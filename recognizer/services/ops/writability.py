"""What of the site's folders and database this account may not write: found before people's submissions find it.

Takes less than a millisecond.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection

from recognizer.services.images.orphaned_files import FOLDER

# A directory is used by listing, entering and changing it.
FOLDER_ACCESS, FILE_ACCESS = os.R_OK | os.W_OK | os.X_OK, os.R_OK | os.W_OK
IS_EFFECTIVE = os.access in os.supports_effective_ids


def unwritable_paths() -> list[str]:
    """Return the folders and files that this process may not write, and "the database" where it takes no rows.

    Raises:
        DatabaseError: the database cannot be asked.
    """
    found = [str(path) for path in _folders() if not _may(path, FOLDER_ACCESS)]
    if connection.vendor == "sqlite":
        found += [str(path) for path in _database_files() if not _may(path, FILE_ACCESS)]
    else:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            found += ["the database"] if cursor.fetchone()[0] == "on" else []
    return found


def _folders() -> Iterator[Path]:
    """The data folder, those of the pictures, 256 at most, and that of the embedded Redis."""
    yield settings.DATA_DIR
    root = Path(getattr(default_storage, "location", settings.DATA_DIR))
    # Where one of them cannot be entered, those inside seem not to be there: the first is enough to be told of.
    yield from filter(os.path.exists, (settings.DATA_DIR / "redis", root, root / FOLDER))
    try:
        yield from (Path(entry.path) for entry in os.scandir(root / FOLDER) if entry.is_dir())
    except OSError:  # there is none yet, or it is one of those that were found above
        return


def _database_files() -> Iterator[Path]:
    """The file, its folder, its write-ahead log and that one's index."""
    database = Path(connection.settings_dict["NAME"])
    files = [database, *(database.with_name(database.name + end) for end in ("-wal", "-shm"))]
    if files[0].parent != settings.DATA_DIR:
        files.append(database.parent)
    yield from filter(os.path.exists, files)


def _may(path: Path, access: int) -> bool:
    # A file that has just been deleted is nobody's trouble.
    return os.access(path, access, effective_ids=IS_EFFECTIVE) or not os.path.lexists(path)
