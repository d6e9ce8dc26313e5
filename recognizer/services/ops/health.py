"""Readiness checks for the supervisor and load balancers."""

import logging
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from django.apps import apps
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from recognizer.services.inference import streams
from recognizer.services.lib.redis_client import redis_or_none
from recognizer.services.registry import versions

from . import liveness, writability

log = logging.getLogger(__name__)

# Maximum number of unwritable paths in a log line.
MAX_LOGGED_PATHS = 3


@dataclass(frozen=True, slots=True)
class Health:
    """Health of the site's parts.

    Attributes:
        database: Whether the database can be reached.
        migrations: Whether all migrations are applied.
        storage: Whether folders and database can be written.
        redis: Whether Redis can be reached.
        worker: Whether a prediction worker is running.
        model: Number of the live version, or None.
        stuck: Queues that have work waiting, and whose worker is missing or has stopped consuming.
    """

    database: bool
    migrations: bool
    storage: bool
    redis: bool
    worker: bool
    model: int | None
    stuck: list[str]

    @property
    def is_ready(self) -> bool:
        """True if the site can serve requests. Without a worker it can, because submissions wait in the queue."""
        return self.database and self.migrations and self.storage and self.redis and self.model is not None


def check() -> Health:
    """Check all parts. Failures are logged, not raised."""
    database, migrations, model = _database()
    redis, worker = _redis_and_worker()
    stuck = liveness.stalled_queues() if database and migrations and redis else []
    return Health(
        database=database,
        migrations=migrations,
        storage=database and _storage(),
        redis=redis,
        worker=worker,
        model=model,
        stuck=stuck,
    )


def unapplied_migrations() -> list[str]:
    """Return the migrations that `manage.py migrate` would apply, as `app.name`.

    Raises:
        DatabaseError: The database is unavailable.
    """
    applied = MigrationRecorder(connection).applied_migrations()
    return [f"{app}.{name}" for app, name in _migration_files() if (app, name) not in applied]


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


def _database() -> tuple[bool, bool, int | None]:
    """Return whether the database can be reached, whether it is migrated, and the number of the live version."""
    try:
        connection.ensure_connection()
        if unapplied_migrations():
            return True, False, None
        return True, True, versions.live_version().number
    except versions.NoLiveModelError:
        return True, True, None
    except DatabaseError as error:
        log.warning("database unreachable: %s", error)
        return False, False, None


def _storage() -> bool:
    """Return whether submissions can be stored."""
    try:
        paths = writability.unwritable_paths()
    except DatabaseError as error:
        log.warning("database unreachable: %s", error)
        return False
    if paths:
        log.error("storage unavailable: this account may not write %s", ", ".join(paths[:MAX_LOGGED_PATHS]))
    return not paths


def _redis_and_worker() -> tuple[bool, bool]:
    """Return whether Redis can be reached, and whether a prediction worker is running."""
    with redis_or_none("redis unreachable") as client:
        if client is not None:
            client.ping()
            return True, streams.consumer_alive()
    return False, False
