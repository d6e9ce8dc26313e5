"""Can this site answer? Asked by the supervisor, by load balancers and by whoever wonders."""

import logging
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from django.apps import apps
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from redis import RedisError

from recognizer.services.inference import handoff
from recognizer.services.registry import versions

from . import liveness, writability

log = logging.getLogger(__name__)

# Of the folders that cannot be written so many are named in the log.
MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Health:
    """`model` is the live version's number, None where there is none. `worker` says whether predictions are made.

    `migrations` says whether the database has the tables that this code expects, `stuck` which queues' workers are
    there and take nothing, or are not there, while work waits, `storage` whether folders and database can be written.
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
        """Pages can be served and submissions taken; without a worker they wait, which is no reason to turn away."""
        return self.database and self.migrations and self.storage and self.redis and self.model is not None


def check() -> Health:
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
    """What `manage.py migrate` would do, as `app.name`.

    Raises:
        DatabaseError: the database cannot be asked.
    """
    applied = MigrationRecorder(connection).applied_migrations()
    return [f"{app}.{name}" for app, name in _migrations_of_the_code() if (app, name) not in applied]


@cache
def _migrations_of_the_code() -> tuple[tuple[str, str], ...]:
    """By the names of their files: Django's own loader imports every one of them, which takes time and memory."""
    found: list[tuple[str, str]] = []
    for app in apps.get_app_configs():
        module, _ = MigrationLoader.migrations_module(app.label)
        spec = find_spec(module) if module else None
        files = pkgutil.iter_modules(spec.submodule_search_locations if spec else ())
        found += [(app.label, file.name) for file in files if not file.ispkg and file.name[0] not in "_~"]
    return tuple(found)


def _database() -> tuple[bool, bool, int | None]:
    """Whether it can be reached, whether its tables are current, and the live version's number."""
    try:
        connection.ensure_connection()
        if unapplied_migrations():
            return True, False, None
        return True, True, versions.live_version().number
    except versions.NoLiveModelError:
        return True, True, None
    except DatabaseError as error:
        log.warning("the database cannot be reached: %s", error)
        return False, False, None


def _storage() -> bool:
    """Whether what people send can be stored."""
    try:
        found = writability.unwritable_paths()
    except DatabaseError as error:
        log.warning("the database cannot be asked: %s", error)
        return False
    if found:
        log.error("storage unavailable: this account may not write %s", ", ".join(found[:MAX_NAMED]))
    return not found


def _redis_and_worker() -> tuple[bool, bool]:
    link = handoff.link()
    if link.circuit.is_open():  # it is known to be frozen, and asking would take a time-out
        return False, False
    try:
        link.redis.ping()
        return True, link.worker_alive()
    except (RedisError, OSError) as error:
        log.warning("Redis cannot be reached: %s", error)
        return False, False
