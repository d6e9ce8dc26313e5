"""The Django app of the site."""

from django.apps import AppConfig


class RecognizerConfig(AppConfig):
    name = "recognizer"
    verbose_name = "Digit recognizer"

    def ready(self) -> None:
        from . import signals  # noqa: F401 - connects itself; needs the models
