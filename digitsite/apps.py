"""App config of the project: loads the Celery app and warns of deprecated settings."""

import logging

from django.apps import AppConfig

from . import env

log = logging.getLogger(__name__)


class DigitsiteConfig(AppConfig):
    """Imports the Celery app, so that tasks can be sent from every Django process.

    The package's `__init__` does not, because the supervisor imports it and has to stay small.
    """

    name = "digitsite"

    def ready(self) -> None:
        """Make Celery's app the current one, and log one warning for each deprecated setting."""
        from . import celery  # noqa: F401 - the import sets Celery's current app

        for warning in env.deprecation_warnings():
            log.warning("%s", warning)
