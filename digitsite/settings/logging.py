"""Logging to standard error, one line per event, and the token for /metrics."""

from digitsite import env

LOG_LEVEL: str = env.read("LOG_LEVEL")
LOG_FORMAT: str = env.read("LOG_FORMAT")
_celery_level = "DEBUG" if LOG_LEVEL == "DEBUG" else "WARNING"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "rejected": {"()": "digitsite.logs.RejectedRequest"},
        "context": {"()": "digitsite.logs.Context"},
        # The readiness checks log what is missing; Django would add an error for each request.
        "not_readiness": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: record.request.path_info != "/readyz",
        },
    },
    "formatters": {"text": {"()": "digitsite.logs.Text"}, "json": {"()": "digitsite.logs.json_formatter"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["rejected", "context"]}
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Celery logs three lines per task, and periodic tasks run every ten seconds. Failures are still logged.
        "celery.beat": {"level": _celery_level},
        "celery.worker.strategy": {"level": _celery_level},
        "celery.app.trace": {"level": _celery_level},
        # The access log has a line with the status of every request; Django would log each 4xx a second time.
        "django.request": {"level": "ERROR", "filters": ["not_readiness"]},
    },
}
# Bearer token for /metrics. Without it, only clients on this machine may read them, and no client behind a proxy.
METRICS_TOKEN: str = env.read("METRICS_TOKEN")
