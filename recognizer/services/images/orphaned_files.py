"""Removal of image files that no submission refers to.

Separate from `services.images.storage`, so that the default worker, which removes orphaned files hourly, does not load
the image decoders.
"""

import logging
from collections.abc import Iterator
from datetime import timedelta

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from recognizer.models import Submission

log = logging.getLogger(__name__)

FOLDER = "pictures"
# A file is written before its row, so the row of a younger file may still be inserted.
ORPHAN_AGE = timedelta(hours=1)


def discard(name: str) -> bool:
    """Delete the file unless a submission refers to it.

    A submission with an equal image may be stored concurrently. On SQLite one of the two waits for the other, because
    the file and the row are written in one transaction. On PostgreSQL the later check restores the file: that of
    `services.submissions.writer` after its commit, or the second check of this function.

    Args:
        name: name of the file in the storage.

    Returns:
        Whether the file was deleted.
    """
    with transaction.atomic():
        if Submission.objects.filter(picture=name).exists():
            return False
        try:
            with default_storage.open(name) as file:
                data = file.read()
        except FileNotFoundError:
            return False
        default_storage.delete(name)
        if Submission.objects.filter(picture=name).exists():
            default_storage.save(name, ContentFile(data))
            return False
    return True


def delete_orphans() -> int:
    """Delete orphaned files, which remain if a process stops between file and row, and return how many were deleted."""
    count = sum(discard(name) for name in find_orphans())
    if count:
        log.info("deleted %d orphaned image files", count)
    return count


def find_orphans() -> Iterator[str]:
    """Yield files older than ORPHAN_AGE to which no submission refers: images, and unfinished temporary files."""
    for name in _unreferenced_names():
        try:
            is_old = timezone.now() - default_storage.get_modified_time(name) > ORPHAN_AGE
        except FileNotFoundError:  # deleted concurrently
            continue
        if is_old:
            yield name


def _unreferenced_names() -> Iterator[str]:
    """Yield all files to which no submission refers, with one query per folder."""
    if not default_storage.exists(FOLDER):
        return
    for folder in default_storage.listdir(FOLDER)[0]:
        prefix = f"{FOLDER}/{folder}/"
        referenced = set(Submission.objects.filter(picture__startswith=prefix).values_list("picture", flat=True))
        for file in default_storage.listdir(prefix)[1]:
            if prefix + file not in referenced:
                yield prefix + file
