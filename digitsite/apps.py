"""App config of the project: loads the Celery app, refuses invalid settings and warns of deprecated ones."""

import logging
import sys

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from . import env

log = logging.getLogger(__name__)


class DigitsiteConfig(AppConfig):
    """Imports the Celery app, so that tasks can be sent from every Django process.

    The package's `__init__` does not, because the supervisor imports it and has to stay small.
    """

    name = "digitsite"

    def ready(self) -> None:
        """Make Celery's app the current one, and log one warning for each deprecated setting.

        Raises:
            ImproperlyConfigured: A setting is invalid, and this is not `manage.py check`, which lists all errors.
        """
        from . import celery, checks  # noqa: F401 - the import of celery sets Celery's current app

        if (errors := checks.find_errors(settings)) and sys.argv[1:2] != ["check"]:
            raise ImproperlyConfigured(errors[0])
        for warning in env.deprecation_warnings():
            log.warning("%s", warning)
