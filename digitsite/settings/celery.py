"""Celery: queues, routes, broker options and periodic tasks.

https://docs.celeryq.dev/en/stable/userguide/configuration.html
"""

from kombu import Exchange, Queue

from digitsite import env, redis_urls

from .redis import REDIS_TIMEOUT, REDIS_URL

CELERY_BROKER_URL = redis_urls.broker_url(REDIS_URL)
CELERY_BROKER_USE_SSL = redis_urls.broker_tls(REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
# When messages are acknowledged: docs/adr/0016-when-celery-tasks-are-acknowledged.md.
# Each queue has its own exchange: without one, all three would be bound to the default exchange under one key.
CELERY_TASK_QUEUES = [
    Queue("predictions", Exchange("predictions"), "predictions", no_ack=True),
    Queue("default", Exchange("default"), "default"),
    Queue("train", Exchange("train"), "train"),
]
CELERY_TASK_ROUTES = {
    "recognizer.tasks.predict_submissions": {"queue": "predictions"},
    "recognizer.tasks.serve_shift": {"queue": "predictions"},
    "recognizer.tasks.train": {"queue": "train"},
}
# A request that cannot publish continues without a retry: the recovery task publishes later.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker retries without limit
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": REDIS_TIMEOUT,
    "socket_connect_timeout": REDIS_TIMEOUT,
    "max_retries": 0,
    # A message that is not acknowledged within this time is delivered again. Longer than any task of the queue
    # `default`, which would otherwise run twice.
    "visibility_timeout": 3600,
    # Look for such messages every 10 s; kombu's default is about every 100 s.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# How long running tasks may take after SIGQUIT; after SIGTERM there is no limit. The supervisor sends SIGTERM and waits
# this long itself; the messages of a process that is killed afterwards are delivered again.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 2.0
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # heartbeats are stored in Redis and in the database
CELERY_BEAT_SCHEDULER = "digitsite.bootsteps:Scheduler"
RECOVERY_INTERVAL_SECONDS: float = env.read("RECOVERY_INTERVAL_SECONDS")
# Interval of the liveness probe of each worker.
LIVENESS_INTERVAL_SECONDS: float = env.read("LIVENESS_INTERVAL_SECONDS")
# Interval in seconds of each periodic task of recognizer/tasks.py.
PERIODIC_TASKS = {
    "sweep": RECOVERY_INTERVAL_SECONDS,
    "tend_training_runs": RECOVERY_INTERVAL_SECONDS,
    "prune_model_files": RECOVERY_INTERVAL_SECONDS,
    "predict_again": RECOVERY_INTERVAL_SECONDS,
    "enforce_retention": 3600,
    "clear_sessions": 3600,
    "empty_write_ahead_log": 3600,
    "sweep_orphans": 3600,
    "sweep_idempotency_keys": 3600,
    "forget_usage": 3600,
}
CELERY_BEAT_SCHEDULE = {
    **{
        name: {"task": f"recognizer.tasks.{name}", "schedule": seconds, "options": {"expires": seconds}}
        for name, seconds in PERIODIC_TASKS.items()
    },
    **{
        f"canary {queue}": {
            "task": "recognizer.tasks.canary",
            "args": (queue,),
            "schedule": LIVENESS_INTERVAL_SECONDS,
            "options": {"queue": queue, "expires": LIVENESS_INTERVAL_SECONDS},
        }
        for queue in ("predictions", "default", "train")
    },
}
