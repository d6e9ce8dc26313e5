"""Retention: deletion of submissions older than RETENTION_DAYS, and of expired sessions."""

import logging
from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.utils import timezone

from recognizer.models import Submission
from recognizer.services.identity import sessions

from .bulk_delete import delete_submissions

log = logging.getLogger(__name__)


def delete_expired_submissions() -> int:
    """Delete submissions that are older than RETENTION_DAYS with their data, and return how many were deleted.

    Models that were trained on a deleted image are kept.
    """
    if not settings.RETENTION_DAYS:
        return 0
    expired = Submission.objects.filter(created__lt=timezone.now() - timedelta(days=settings.RETENTION_DAYS))
    count = delete_submissions(expired)
    if count:
        log.info("deleted %d submissions older than %d days", count, settings.RETENTION_DAYS)
    return count


def clear_sessions() -> None:
    """Delete expired sessions."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    sessions.delete_expired()
