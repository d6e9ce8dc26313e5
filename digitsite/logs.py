"""How log lines look: one line an event, as readable text or as JSON, with the ids of request, submission and task.

Named by LOGGING in the settings. No line holds an address, a name, or a key that lets somebody in: ids only.
"""

import logging
import re
import sys
from collections.abc import Iterator

from recognizer.services.lib import request_context

# What a line may say beside its message, in this order.
FIELDS = ("method", "view", "status", "ms", "request_id", "submissions", "task", "task_id")


MAX_REJECTED_LENGTH = 300
# Personal tokens and manage keys, wherever a line quotes one; their prefixes are there to be found.
_SECRET = re.compile(r"\b(digits_|manage_)[A-Za-z0-9_-]{20,}")


def redact(text: str) -> str:
    """Return the text with every token and manage key in it cut to its prefix."""
    return _SECRET.sub(r"\1…", text)


class RejectedRequest(logging.Filter):
    """On the handler: one WARNING line for a request that Django rejects, such as one with a wrong Host.

    Django logs an ERROR with a traceback, as often as any stranger likes. The message names the setting to change.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("django.security."):
            return True
        if record.levelno == logging.ERROR:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg, record.args = record.getMessage()[:MAX_REJECTED_LENGTH], ()
            record.exc_info = record.exc_text = None
        return logging.getLogger(record.name).isEnabledFor(record.levelno)


class Context(logging.Filter):
    """On the handler, so that every library's lines pass: adds the ids, takes out what must not be told."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = record.__dict__.pop("request", None)
        if request is not None and record.name.startswith("django."):
            _without_path(record, request)
        for name, value in (*request_context.facts().items(), *_task()):
            record.__dict__.setdefault(name, value)
        return True


def _without_path(record: logging.LogRecord, request: object) -> None:
    """Django names the path, which may hold a key that lets somebody in; the view says as much."""
    match = getattr(request, "resolver_match", None)
    view = match.view_name if match else "no view"
    path = getattr(request, "path", None)
    if isinstance(record.args, tuple):
        record.args = tuple(view if one == path else one for one in record.args)


def _task() -> Iterator[tuple[str, str]]:
    """The Celery task in which this thread is; processes without Celery's workers never load that."""
    state = sys.modules.get("celery._state")
    task = state.get_current_task() if state else None
    if task is not None and task.request.id:
        yield "task", task.name.rpartition(".")[2]
        yield "task_id", task.request.id


class Text(logging.Formatter):
    """`2026-11-22 12:00:00,123 INFO recognizer.requests answered view=draw status=200 …`"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        said = [f"{name}={record.__dict__[name]}" for name in FIELDS if name in record.__dict__]
        return " ".join([super().formatMessage(record), *said])

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def json_formatter() -> logging.Formatter:
    """One JSON object a line; a traceback is a text within it."""
    from pythonjsonlogger.json import JsonFormatter

    class Json(JsonFormatter):
        def format(self, record: logging.LogRecord) -> str:
            return redact(super().format(record))

    return Json(
        ["asctime", "levelname", "name", "message"],
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
    )
