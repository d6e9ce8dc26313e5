"""Lets every Django process know the Celery app, so that a task sent from anywhere finds the broker.

Not in the package's `__init__`: the supervisor belongs to this package and must stay small.
"""

from django.apps import AppConfig


class DigitsiteConfig(AppConfig):
    name = "digitsite"

    def ready(self) -> None:
        from . import celery  # noqa: F401 - importing it makes it Celery's current app
