"""The Django app of the site."""

from django.apps import AppConfig


class RecognizerConfig(AppConfig):
    """Configuration of the app."""

    name = "recognizer"
    verbose_name = "Digit recognizer"

    def ready(self) -> None:
        """Connect the signal handlers, which need the models."""
        from . import signals  # noqa: F401 - connects its handlers on import
