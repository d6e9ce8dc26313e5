"""Can this site answer? Asked by the supervisor, by load balancers and by whoever wonders."""

import logging
from dataclasses import dataclass

from django.db import DatabaseError, connection
from redis import RedisError

from . import handoff, registry

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """`model` is the live version's number, None where there is none. `worker` says whether predictions are made."""

    database: bool
    redis: bool
    worker: bool
    model: int | None

    @property
    def is_ready(self) -> bool:
        """Pages can be served and submissions taken; without a worker they wait, which is no reason to turn away."""
        return self.database and self.redis and self.model is not None


def check() -> Health:
    database, model = _database_and_model()
    redis, worker = _redis_and_worker()
    return Health(database=database, redis=redis, worker=worker, model=model)


def _database_and_model() -> tuple[bool, int | None]:
    try:
        connection.ensure_connection()
        return True, registry.live_version().number
    except registry.NoLiveModelError:
        return True, None
    except DatabaseError as error:
        log.warning("the database cannot be reached: %s", error)
        return False, None


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
