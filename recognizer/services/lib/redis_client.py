"""Redis client of this process: short time-outs, a circuit breaker, and one way to do without Redis.

Redis carries notifications and counters only, so every caller continues without it (`redis_or_none`).
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import redis
from django.conf import settings
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

# Seconds for which the breaker stays open after a time-out, and the time-out of the PING that then tests the server.
OPEN_SECONDS = 3.0
PROBE_SECONDS = 0.5
# Longest time that one command may block. Must be shorter than REDIS_TIMEOUT, after which the server counts as
# unresponsive.
MAX_BLOCK_SECONDS = 0.5
TIMEOUTS = (redis.TimeoutError, TimeoutError)


class CircuitBreaker:
    """Circuit breaker for a Redis that does not respond, so that not every request pays for the time-out.

    Only a time-out opens it: a refused connection fails at once, and the next request reconnects to a restarted Redis.
    After `OPEN_SECONDS` one caller sends a PING with a short time-out while the others still continue without Redis.
    """

    def __init__(self, url: str) -> None:
        self._probe = redis.Redis.from_url(
            url, socket_timeout=PROBE_SECONDS, socket_connect_timeout=PROBE_SECONDS, retry=Retry(NoBackoff(), 0)
        )
        self._lock = threading.Lock()
        self._open_until = 0.0

    def is_open(self) -> bool:
        """Return whether callers should skip Redis for now."""
        if not self._open_until:
            return False
        with self._lock:
            now = time.monotonic()
            if not self._open_until:
                return False
            if now < self._open_until:
                return True
            self._open_until = now + OPEN_SECONDS  # other callers still see an open breaker
        try:
            self._probe.ping()
        except (redis.RedisError, OSError):
            return True
        self._open_until = 0.0
        log.info("redis available again")
        return False

    def trip(self) -> None:
        """Open the breaker after a time-out."""
        with self._lock:
            was_open = bool(self._open_until)
            self._open_until = time.monotonic() + OPEN_SECONDS
        if not was_open:
            log.warning("redis timeout: submissions are stored and will be predicted when redis is available again")


@cache
def _client(url: str, timeout: float) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # Retry once after a dropped connection (Redis was restarted), never after a time-out.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        # The number of threads limits the connections.
        max_connections=2**31,
        # RESP3 costs three more commands for each new connection and brings nothing here.
        protocol=2,
    )


@cache
def _breaker(url: str) -> CircuitBreaker:
    return CircuitBreaker(url)


def redis_client() -> redis.Redis:
    """Return this process's client for the Redis at `HANDOFF_URL`. Its commands raise Redis's errors."""
    return _client(settings.HANDOFF_URL, settings.REDIS_TIMEOUT)


def max_block_seconds() -> float:
    """Return the longest time that a blocking command may wait in Redis."""
    return min(MAX_BLOCK_SECONDS, float(settings.REDIS_TIMEOUT) / 2)


@contextmanager
def redis_or_none(consequence: str, *, level: int = logging.WARNING) -> Iterator[redis.Redis | None]:
    """Log errors of Redis and Celery's broker instead of raising them.

    Args:
        consequence: What an error means for the caller, for the log.
        level: Level of the log line.

    Yields:
        The client, or None while the circuit breaker is open.
    """
    breaker = _breaker(settings.HANDOFF_URL)
    try:
        yield None if breaker.is_open() else redis_client()
    except (redis.RedisError, OperationalError, OSError) as error:
        # Celery's error has the one of Redis as its cause.
        if isinstance(error, TIMEOUTS) or isinstance(error.__cause__, TIMEOUTS):
            breaker.trip()
        log.log(level, "%s: %s", consequence, error)
