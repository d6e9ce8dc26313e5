"""Disk usage of images and database for the status page and /metrics, in constant time."""

import os
import shutil
from dataclasses import dataclass

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection

from recognizer.services.images.orphaned_files import FOLDER

# Images are spread evenly over 256 folders by their SHA-256, so a sample of folders is representative. Up to about this
# many files are read, which takes a few milliseconds.
MAX_FILES_SCANNED = 2_000


@dataclass(frozen=True, slots=True)
class ImageUsage:
    """Number and total size of stored images.

    Attributes:
        files: Number of files.
        bytes: Total size.
        is_exact: False if the numbers are estimated from a sample of folders.
    """

    files: int
    bytes: int
    is_exact: bool


def image_usage() -> ImageUsage:
    """Return the disk usage of stored images, estimated from a sample if there are many."""
    root = default_storage.path(FOLDER)  # scandir is twice as fast on strings as on Path objects
    try:
        folders = sorted(entry.path for entry in os.scandir(root) if entry.is_dir())
    except FileNotFoundError:  # no image was stored yet
        return ImageUsage(0, 0, is_exact=True)
    files = size = scanned = 0
    for folder in folders:
        if files >= MAX_FILES_SCANNED:
            break
        scanned += 1
        for entry in os.scandir(folder):
            try:
                size += entry.stat().st_size
            except FileNotFoundError:  # deleted since it was listed
                continue
            files += 1
    scale = len(folders) / scanned if scanned else 1.0
    return ImageUsage(round(files * scale), round(size * scale), is_exact=scanned == len(folders))


def database_bytes() -> int:
    """Return the size of the database, including indexes and model files.

    Raises:
        django.db.DatabaseError: The database is unavailable.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_database_size(current_database())")
        else:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        return int(cursor.fetchone()[0])


def free_bytes() -> int:
    """Return the free space on the disk of DATA_DIR."""
    return shutil.disk_usage(settings.DATA_DIR).free
