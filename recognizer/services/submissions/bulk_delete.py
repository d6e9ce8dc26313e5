"""Deletion of submissions: rows, predictions, labels, stored responses, and images without another submission.

Every deletion goes through `delete_submissions`, so that no data of a deleted submission remains.
"""

from functools import partial

from django.db import transaction
from django.db.models import QuerySet

from recognizer.models import Submission
from recognizer.services.identity import idempotency
from recognizer.services.images import orphaned_files

BATCH_SIZE = 200


def delete_submissions(rows: QuerySet[Submission]) -> int:
    """Delete submissions in batches, so that other writers can run in between, and return how many were deleted.

    If a batch fails, the previous ones stay deleted, and the call can be repeated.
    """
    count = 0
    while batch := dict(rows.order_by("pk").values_list("pk", "picture")[:BATCH_SIZE]):
        with transaction.atomic():
            idempotency.redact(batch)
            Submission.objects.filter(pk__in=batch).delete()
            for name in set(batch.values()):
                transaction.on_commit(partial(orphaned_files.discard, name))
        count += len(batch)
    return count
