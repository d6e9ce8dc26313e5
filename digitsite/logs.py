"""Log filters and formatters: one line per event, as text or JSON, with the ids of request, submissions and task.

Installed by LOGGING in the settings. Log lines contain ids only: no addresses, names or keys that grant access.
"""

import logging
import re
import sys
from collections.abc import Iterator

from recognizer.services.lib import request_context

# Fields that are appended to a text line, in this order.
FIELDS = ("method", "view", "status", "ms", "request_id", "submissions", "task", "task_id")


MAX_REJECTED_LENGTH = 300
# Personal tokens and manage keys, which have prefixes so that they can be recognized.
_SECRET = re.compile(r"\b(digits_|manage_)[A-Za-z0-9_-]{20,}")


def redact(text: str) -> str:
    """Return the text with all tokens and manage keys cut to their prefix."""
    return _SECRET.sub(r"\1…", text)


class RejectedRequest(logging.Filter):
    """Reduces errors about rejected requests, such as one with a wrong Host header, to one WARNING line.

    Django logs an ERROR with a traceback for each, and any client can trigger them. The message names the setting to
    change.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change records of `django.security`; return whether to log the record."""
        if not record.name.startswith("django.security."):
            return True
        if record.levelno == logging.ERROR:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg, record.args = record.getMessage()[:MAX_REJECTED_LENGTH], ()
            record.exc_info = record.exc_text = None
        return logging.getLogger(record.name).isEnabledFor(record.levelno)


class Context(logging.Filter):
    """Adds request context and removes paths. Installed on the handler, so that it covers third-party loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; always return True."""
        request = record.__dict__.pop("request", None)
        if request is not None and record.name.startswith("django."):
            _replace_path(record, request)
        for name, value in (*request_context.facts().items(), *_task_fields()):
            record.__dict__.setdefault(name, value)
        return True


def _replace_path(record: logging.LogRecord, request: object) -> None:
    """Replace the path in Django's log arguments with the name of the view: a path may contain a key."""
    match = getattr(request, "resolver_match", None)
    view = match.view_name if match else "no view"
    path = getattr(request, "path", None)
    if isinstance(record.args, tuple):
        record.args = tuple(view if argument == path else argument for argument in record.args)


def _task_fields() -> Iterator[tuple[str, str]]:
    """Return name and id of the current Celery task, without loading Celery in processes that do not use it."""
    state = sys.modules.get("celery._state")
    task = state.get_current_task() if state else None
    if task is not None and task.request.id:
        yield "task", task.name.rpartition(".")[2]
        yield "task_id", task.request.id


class Text(logging.Formatter):
    """Formats lines such as `2026-11-22 12:00:00,123 INFO recognizer.requests answered view=draw status=200 …`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """Return the message followed by the fields as name=value."""
        fields = [f"{name}={record.__dict__[name]}" for name in FIELDS if name in record.__dict__]
        return " ".join([super().formatMessage(record), *fields])

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole line, redacted."""
        return redact(super().format(record))


def json_formatter() -> logging.Formatter:
    """Return a formatter that writes one JSON object per line; a traceback is a string in it."""
    from pythonjsonlogger.json import JsonFormatter

    class Json(JsonFormatter):
        def format(self, record: logging.LogRecord) -> str:
            return redact(super().format(record))

    return Json(
        ["asctime", "levelname", "name", "message"],
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
    )
