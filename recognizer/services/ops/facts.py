"""Facts about the site for its health checks and metrics. Each is read at most once, when it is first needed."""

import os
import pkgutil
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, Min, Q
from prometheus_client.multiprocess import mark_process_dead

from recognizer.models import Deployment, Submission, SubmissionState, TrainingRun
from recognizer.services.inference import streams
from recognizer.services.lib.redis_client import redis_or_none
from recognizer.services.registry import versions
from recognizer.services.training import presenters

from . import disk_usage, liveness

# Folder of the counters that several web processes share (digitsite/server/__main__.py).
METRICS_FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """Facts from Redis.

    Attributes:
        info: Result of the command INFO.
        queue_length: Submissions in the prediction queue.
        heartbeats: Age of each prediction worker's heartbeat in seconds.
        probe_ages: Seconds since a worker of each Celery queue consumed a liveness probe.
    """

    info: dict[str, Any]
    queue_length: int
    heartbeats: dict[str, float]
    probe_ages: dict[str, float]


class Facts:
    """Facts at one moment. All from the database raise DatabaseError if it is unavailable."""

    @cached_property
    def redis(self) -> RedisFacts | None:
        """Facts from Redis; None if it is unavailable."""
        with redis_or_none("redis unreachable") as client:
            if client is not None:
                length, heartbeats = streams.queue_length(client), streams.heartbeats(client)
                return RedisFacts(client.info(), length, heartbeats, liveness.last_seen())
        return None

    @cached_property
    def database_bytes(self) -> int:
        """Size of the database."""
        return disk_usage.database_bytes()

    @cached_property
    def unapplied_migrations(self) -> list[str]:
        """Migrations that `manage.py migrate` would apply, as `app.name`."""
        applied = MigrationRecorder(connection).applied_migrations()
        return [f"{app}.{name}" for app, name in _migration_files() if (app, name) not in applied]

    @cached_property
    def pending(self) -> tuple[int, datetime | None]:
        """Number of submissions that wait for a prediction, and when the oldest that never had one was created."""
        waiting = Submission.objects.filter(state=SubmissionState.PENDING)
        never_predicted = Q(predictions=None)
        pending = waiting.aggregate(count=Count("pk", distinct=True), oldest=Min("created", filter=never_predicted))
        return pending["count"], pending["oldest"]

    @cached_property
    def deployment(self) -> Deployment:
        """The deployment that is live. Raises versions.NoLiveModelError if there is none."""
        return versions.live_deployment()

    @cached_property
    def latest_run(self) -> TrainingRun | None:
        """The latest training run."""
        return TrainingRun.objects.defer("log").first()

    @cached_property
    def next_run(self) -> presenters.NextRun:
        """The next automatic training run."""
        return presenters.next_run()

    @cached_property
    def images(self) -> disk_usage.ImageUsage:
        """Number and size of stored images."""
        return disk_usage.image_usage()


@cache
def _migration_files() -> tuple[tuple[str, str], ...]:
    """Return app label and name of each migration.

    Uses the names of the files, because Django's MigrationLoader imports all of them, which takes time and memory.
    """
    migrations: list[tuple[str, str]] = []
    for app in apps.get_app_configs():
        module, _ = MigrationLoader.migrations_module(app.label)
        spec = find_spec(module) if module else None
        files = pkgutil.iter_modules(spec.submodule_search_locations if spec else ())
        migrations += [(app.label, file.name) for file in files if not file.ispkg and file.name[0] not in "_~"]
    return tuple(migrations)


def web_processes() -> list[int]:
    """Return the ids of the web processes that are running, of the server to which this process belongs."""
    if not METRICS_FOLDER:
        return [os.getpid()]
    ids = [int(path.stem.rpartition("_")[2]) for path in Path(METRICS_FOLDER).glob("gauge_livesum_*.db")]
    running = [number for number in ids if _is_running(number)]
    for number in set(ids).difference(running):
        mark_process_dead(number)  # type: ignore[no-untyped-call]
    return running


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True
