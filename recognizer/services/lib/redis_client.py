"""Redis client of this process: short time-outs, pipelines without redis-py's overhead, and a circuit breaker."""

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
from redis.connection import ConnectionInterface
from redis.retry import Retry

log = logging.getLogger(__name__)

Command = Sequence[str | bytes | float]

# Seconds for which the breaker stays open after a time-out, and the time-out of the PING that then tests the server.
OPEN_SECONDS = 3.0
PROBE_SECONDS = 0.5
# Added to the time-out of a blocking command before the server counts as unresponsive.
GRACE_SECONDS = 0.5


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


class Script:
    """A Lua script that is called by its digest, and sent in full if Redis does not have it (after a restart).

    Args:
        path: the file of the script.
    """

    def __init__(self, path: Path) -> None:
        self._text = path.read_bytes()
        self._digest = hashlib.sha1(self._text, usedforsecurity=False).hexdigest()

    def run(self, client: "RedisClient", keys: Sequence[str], arguments: Sequence[str | float]) -> Any:
        """Run the script and return its result.

        Args:
            client: the client of the server.
            keys: KEYS of the script.
            arguments: ARGV of the script.
        """
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
        # Retry once after a dropped connection (Redis was restarted), never after a time-out.
        self.redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            # The number of threads limits the connections. The pool would count the connections that it makes for
            # `execute` but not those that `execute` drops: with a limit of 100 it would be exhausted after a hundred
            # requests without Redis.
            max_connections=2**31,
        )
        self.circuit = CircuitBreaker(url)
        self._connections: list[ConnectionInterface] = []

    def execute(self, *commands: Command, seconds: float = 0) -> list[Any]:
        """Send commands in one pipeline and return their unparsed responses.

        Costs a third of the same through redis-py's client and pool.

        Args:
            *commands: the commands, each with its arguments.
            seconds: how long the commands may block.

        Raises:
            redis.TimeoutError: the server does not respond within `seconds` and the time-out.
            redis.ConnectionError: the server cannot be reached.
            redis.ResponseError: the server rejects one of the commands.
        """
        while True:
            try:
                connection, is_new = self._connections.pop(), False
            except IndexError:
                connection, is_new = self.redis.connection_pool.make_connection(), True
            try:
                return self._execute(connection, commands, seconds)
            except redis.ConnectionError:
                # A reused connection may be stale (Redis was restarted), and so may all other reused ones.
                if is_new:
                    raise

    def _execute(self, connection: ConnectionInterface, commands: Sequence[Command], seconds: float) -> list[Any]:
        # redis-py annotates none of these three methods.
        try:
            packed = connection.pack_commands(commands)  # type: ignore[no-untyped-call]
            connection.send_packed_command(packed)  # type: ignore[no-untyped-call]
            if seconds and not connection.can_read(seconds + GRACE_SECONDS):
                timeout = seconds + GRACE_SECONDS
                raise redis.TimeoutError(f"No response to {commands[0][0]!r} within {timeout:.1f} s.")
            responses = [connection.read_response() for _ in commands]
        except redis.exceptions.NoScriptError:
            self._connections.append(connection)
            raise
        except BaseException:
            # A late response must not be read as the response to another command.
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise
        self._connections.append(connection)
        return responses


@cache
def _client(url: str, timeout: float) -> RedisClient:
    return RedisClient(url, timeout)


# A child process that shared its parent's connections would read the parent's responses.
os.register_at_fork(after_in_child=_client.cache_clear)


def redis_client() -> RedisClient:
    """Return this process's client for the Redis at `HANDOFF_URL`."""
    return _client(settings.HANDOFF_URL, settings.REDIS_TIMEOUT)
