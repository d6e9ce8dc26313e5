"""Retention: submissions are deleted after RETENTION_DAYS, sessions when they have expired. Called hourly by tasks."""

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
    """Delete submissions that are older than RETENTION_DAYS, with all that belongs to them; how many went.

    Models that learned from a deleted picture stay.
    """
    if not settings.RETENTION_DAYS:
        return 0
    old = Submission.objects.filter(created__lt=timezone.now() - timedelta(days=settings.RETENTION_DAYS))
    count = delete_submissions(old)
    if count:
        log.info("%d submissions were older than %d days and are gone", count, settings.RETENTION_DAYS)
    return count


def clear_sessions() -> None:
    """Delete expired sessions."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    sessions.delete_expired()
