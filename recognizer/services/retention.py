"""How long things are kept: RETENTION_DAYS, and then they go. Called hourly by the default worker."""

import logging
from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.utils import timezone

from recognizer.models import Submission

from .erasing import erase

log = logging.getLogger(__name__)


def enforce() -> int:
    """Delete submissions that are older than RETENTION_DAYS, with all that belongs to them; how many went.

    Sessions that have run out go too, whatever the setting. Models that learned from a deleted picture stay.
    """
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    if not settings.RETENTION_DAYS:
        return 0
    old = Submission.objects.filter(created__lt=timezone.now() - timedelta(days=settings.RETENTION_DAYS))
    count = erase(old)
    if count:
        log.info("%d submissions were older than %d days and are gone", count, settings.RETENTION_DAYS)
    return count
