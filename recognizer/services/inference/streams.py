"""Prediction queue between web processes and prediction workers: two Redis Streams, read by one consumer group.

Redis holds, in a database number of its own:

    stream:predictions  one entry per submission: its id, and the name of the reply list if a request waits
    stream:previews     one entry per unsaved image; bounded, predicted while no submission waits, dropped when stale
    consumers           sorted set, consumer -> expiry of its heartbeat
    replies:<token>     reply list of the requests that wait together; each item begins with the submission id
    tally               counters of the workers (inference.counters)
    `canaries`          last liveness probe of each Celery queue (ops.liveness)
    asked:<minute>:…    rate limit counters of a minute (identity.throttling)

Redis only carries notifications. The pending row in the database is authoritative, and `recovery` finds the rows that
are lost here. An entry is deleted when its results are stored, so the streams hold only work that is not done.
"""

import logging
import time
from functools import lru_cache
from typing import Any

import redis

from recognizer.services.lib.redis_client import redis_client, redis_or_none

log = logging.getLogger(__name__)

# These names differ from those of release 0.9.0 and before, whose lists may still be in use on another host.
SUBMISSIONS, PREVIEWS, CONSUMERS = "stream:predictions", "stream:previews", "consumers"
GROUP = "workers"

# BLMPOP, which pops all replies in one round trip, was added in Redis 7.0; every Valkey has it.
MIN_REDIS_VERSION = (7, 0)
# A heartbeat expires after this time, and requests then no longer wait for the worker.
HEARTBEAT_LIFE_SECONDS = 4.0
# A later expiry is from before the clock was set back, and is ignored.
MAX_HEARTBEAT_LIFE_SECONDS = 60.0
# A consumer that has read nothing for this long and has no entries left has ended.
DEAD_CONSUMER_SECONDS = 3600.0
# Entries of this age are not trusted to be read any more.
MAX_ENTRY_AGE_SECONDS = 600.0
PAGE = 1000


class QueueError(RuntimeError):
    """The Redis server is unsuitable for the prediction queue; the message says what to do."""


def check_server() -> None:
    """Check the version of the Redis server.

    Raises:
        QueueError: The server is too old for the prediction queue.
        redis.RedisError: Redis is unavailable.
    """
    version = str(redis_client().info("server").get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_REDIS_VERSION:
        raise QueueError(
            f"REDIS_URL leads to a Redis {version}; this site needs Redis 7.0 or newer, or Valkey, for BLMPOP."
        )


def create_groups(client: redis.Redis) -> None:
    """Create the streams and their consumer group unless they exist. Entries that are in a stream already are read."""
    for stream in (SUBMISSIONS, PREVIEWS):
        try:
            client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # the group exists
                raise


def delete_dead_consumers(client: redis.Redis) -> None:
    """Delete the names of consumers that have ended. Each process of a worker has a name of its own.

    A consumer with entries is kept, because its entries would be deleted with it; another worker claims them first.
    """
    for consumer in client.xinfo_consumers(SUBMISSIONS, GROUP):
        if not consumer["pending"] and consumer["idle"] > DEAD_CONSUMER_SECONDS * 1000:
            delete_consumer(client, consumer["name"])


def delete_consumer(client: redis.Redis, name: str | bytes) -> None:
    """Delete the name of a consumer that has no submissions left. Its previews are dropped."""
    for stream in (SUBMISSIONS, PREVIEWS):
        client.xgroup_delconsumer(stream, GROUP, name)


def queue_length(client: redis.Redis) -> int:
    """Return the number of submissions that wait in the stream or are being predicted."""
    return int(client.xlen(SUBMISSIONS))


def queued_ids(client: redis.Redis) -> set[int]:
    """Return the ids of the submissions that wait in the stream or are being predicted."""
    seconds, _ = client.time()
    ids: set[int] = set()
    start = f"{int((seconds - MAX_ENTRY_AGE_SECONDS) * 1000)}"
    while True:
        entries: Any = client.xrange(SUBMISSIONS, start, "+", count=PAGE)
        ids.update(int(fields[b"id"]) for _, fields in entries if b"id" in fields)
        if len(entries) < PAGE:
            return ids
        start = f"({entries[-1][0].decode()}"


def heartbeats(client: redis.Redis) -> dict[str, float]:
    """Return the age of each prediction worker's heartbeat in seconds, without expired ones."""
    pipe = client.pipeline(transaction=False)
    pipe.time()
    pipe.zrange(CONSUMERS, 0, -1, withscores=True)
    (seconds, microseconds), expiries = pipe.execute()
    now = seconds + microseconds / 1e6  # Redis's time, so that clock differences between hosts do not matter
    return {
        name.decode(): max(0.0, now + HEARTBEAT_LIFE_SECONDS - expiry)
        for name, expiry in expiries
        if now <= expiry <= now + MAX_HEARTBEAT_LIFE_SECONDS
    }


def consumer_alive() -> bool:
    """Return whether a prediction worker's heartbeat is current; False if Redis is unavailable.

    A result less than a second old is reused.
    """
    with redis_or_none("worker heartbeat unavailable") as client:
        if client is not None:
            return _is_any_alive(client, int(time.monotonic()))
    return False


@lru_cache(maxsize=1)
def _is_any_alive(client: redis.Redis, _second: int) -> bool:
    return bool(heartbeats(client))
