"""Files of kept pictures that no submission names any more, and how they go.

Called when a submission is deleted, and hourly by the default worker, which therefore need not load what decodes
pictures (services.images.storage).
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
# A file is written before its row; one that is younger than this may still get it.
ORPHAN_AGE = timedelta(hours=1)


def discard(name: str) -> bool:
    """Delete the file unless a submission names it; true if it went.

    A submission with an equal picture may be stored at the same moment. On SQLite one of the two waits for the other:
    who stores writes file and row in one transaction. Elsewhere whichever looks last puts the file back:
    services.submissions.storing after its commit, or this function by looking again.
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
    """Delete files older than an hour that no submission names (somebody died between file and row); how many went."""
    swept = sum(discard(name) for name in find_orphans())
    if swept:
        log.info("swept %d pictures without a submission", swept)
    return swept


def find_orphans() -> Iterator[str]:
    """Files older than an hour that no submission names: pictures, and drafts of pictures never finished."""
    for name in _stored_names():
        try:
            old = timezone.now() - default_storage.get_modified_time(name) > ORPHAN_AGE
        except FileNotFoundError:  # deleted by somebody else meanwhile
            continue
        if old:
            yield name


def _stored_names() -> Iterator[str]:
    """Every file that no submission names, looked up folder by folder."""
    if not default_storage.exists(FOLDER):
        return
    for folder in default_storage.listdir(FOLDER)[0]:
        prefix = f"{FOLDER}/{folder}/"
        named = set(Submission.objects.filter(picture__startswith=prefix).values_list("picture", flat=True))
        for file in default_storage.listdir(prefix)[1]:
            if prefix + file not in named:
                yield prefix + file
