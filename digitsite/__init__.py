"""The Django project: settings, addresses, the Celery app. Wiring only; the rules live below, in recognizer and ml."""

from .celery import app as celery_app

__all__ = ["celery_app"]
