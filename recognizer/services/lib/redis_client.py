"""Redis client of this process: short time-outs, pipelines without redis-py's overhead, and a circuit breaker."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

# Seconds for which the breaker stays open after a time-out, and the time-out of the PING that then tests the server.
OPEN_SECONDS = 3.0
PROBE_SECONDS = 0.5
# Added to the time-out of a blocking command before the server counts as unresponsive.
GRACE_SECONDS = 0.5


class CircuitBreaker:
    """Circuit breaker for a Redis that does not respond, so that not every request pays for the time-out.

    Only a time-out opens it: a refused connection fails at once, and a restarted Redis is found again by the next
    request. After `OPEN_SECONDS` one caller sends a short PING while the others still go on without Redis.
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
        log.info("Redis answers again")
        return False

    def trip(self) -> None:
        with self._lock:
            known = bool(self._open_until)
            self._open_until = time.monotonic() + OPEN_SECONDS
        if not known:
            log.warning("Redis does not answer; submissions are kept and will be predicted when it is back")


class Script:
    """A Lua script, sent by its digest and in full when Redis does not know it (after a restart).

    Args:
        path: the file of the script.
    """

    def __init__(self, path: Path) -> None:
        self._text = path.read_bytes()
        self._digest = hashlib.sha1(self._text, usedforsecurity=False).hexdigest()

    def run(self, client: RedisClient, keys: Sequence[str], arguments: Sequence[str | float]) -> Any:
        """Run the script and return its result."""
        try:
            [result] = client.execute(("EVALSHA", self._digest, len(keys), *keys, *arguments))
        except redis.exceptions.NoScriptError:
            [result] = client.execute(("EVAL", self._text, len(keys), *keys, *arguments))
        return result


class RedisClient:
    """Client of one Redis server. Thread-safe.

    Attributes:
        redis: redis-py's client, for commands that are not sent on every request or batch.
        circuit: the breaker that callers check before they send commands.
    """

    def __init__(self, url: str, timeout: float) -> None:
        # A dropped connection (Redis was restarted) is opened again once; a time-out is never tried twice.
        self.redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            # The number of threads bounds the connections. The pool counts what it makes and never hears of those that
            # `execute` drops: after a hundred requests without Redis it would make no more.
            max_connections=2**31,
        )
        self.circuit = CircuitBreaker(url)
        self._connections: list[redis.Connection] = []

    def execute(self, *commands: Sequence[str | bytes | float], seconds: float = 0) -> list:
        """Send commands together and return their answers as Redis gives them.

        A third of what the same costs through redis-py's client and pool, which look at each command a dozen times.

        Args:
            seconds: how long the commands may block.

        Raises:
            redis.TimeoutError: the server is silent for longer than that and its time-out allow.
            redis.ConnectionError: it cannot be reached.
            redis.ResponseError: it refuses one of the commands.
        """
        while True:
            try:
                connection, is_new = self._connections.pop(), False
            except IndexError:
                connection, is_new = self.redis.connection_pool.make_connection(), True
            try:
                return self._execute(connection, commands, seconds)
            except redis.ConnectionError:
                # One that was kept may have been dropped meanwhile (Redis was restarted), and so may all others.
                if is_new:
                    raise

    def _execute(self, connection: redis.Connection, commands: Sequence, seconds: float) -> list:
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            if seconds and not connection.can_read(seconds + GRACE_SECONDS):
                raise redis.TimeoutError(f"No answer to {commands[0][0]} within {seconds + GRACE_SECONDS:.1f} s.")
            answers = [connection.read_response() for _ in commands]
        except redis.exceptions.NoScriptError:
            self._connections.append(connection)
            raise
        except BaseException:
            connection.disconnect()  # an answer that comes later must not be taken for another command's
            raise
        self._connections.append(connection)
        return answers


@cache
def _client(url: str, timeout: float) -> RedisClient:
    return RedisClient(url, timeout)


# A child that shared its parent's connections would read its responses.
os.register_at_fork(after_in_child=_client.cache_clear)


def redis_client() -> RedisClient:
    """Return the client of this process for the Redis of the settings."""
    return _client(settings.HANDOFF_URL, settings.REDIS_TIMEOUT)
