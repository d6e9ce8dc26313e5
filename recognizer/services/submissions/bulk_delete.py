"""Deletion of submissions: rows, predictions, labels, stored responses, and pictures that no other row names.

Every deletion goes through `delete_submissions`, so nothing of a deleted submission is left anywhere.
"""

from functools import partial

from django.db import transaction
from django.db.models import QuerySet

from recognizer.models import Submission
from recognizer.services.identity import idempotency
from recognizer.services.images import orphaned_files

BATCH = 200


def delete_submissions(rows: QuerySet[Submission]) -> int:
    """Delete them, some at a time so that others can write in between; how many went.

    What was deleted stays so if a later part fails, and the rest can be deleted again.
    """
    count = 0
    while batch := dict(rows.order_by("pk").values_list("pk", "picture")[:BATCH]):
        with transaction.atomic():
            idempotency.redact(batch)
            Submission.objects.filter(pk__in=batch).delete()
            for picture in set(batch.values()):
                transaction.on_commit(partial(orphaned_files.discard, picture))
        count += len(batch)
    return count
