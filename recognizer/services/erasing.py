"""Deleting many submissions for good: rows, answers, labels, and the pictures that nobody else has sent too.

Called by services.privacy and services.retention; a single one goes by services.submissions.
"""

from functools import partial

from django.db import transaction
from django.db.models import QuerySet

from recognizer.models import Submission

from . import orphans

BATCH = 200


def erase(rows: QuerySet[Submission]) -> int:
    """Delete them, some at a time so that others can write in between; how many went.

    What was deleted stays so if a later part fails, and the rest can be deleted again.
    """
    count = 0
    while batch := dict(rows.order_by("pk").values_list("pk", "picture")[:BATCH]):
        with transaction.atomic():
            Submission.objects.filter(pk__in=batch).delete()
            for picture in set(batch.values()):
                transaction.on_commit(partial(orphans.discard, picture))
        count += len(batch)
    return count
