"""The connection to Redis that the hand-off speaks over: short time-outs, the two scripts, and a circuit breaker."""

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

from recognizer.services.fair_slots import FairSlots

from .replies import Replies

log = logging.getLogger(__name__)

QUEUE, PREVIEWS, SHIFTS, WORKERS = "queue", "previews", "shifts", "workers"

# BLMPOP, which takes a whole batch in one round trip, came with 7.0; every Valkey has it.
OLDEST_REDIS = (7, 0)
# How long after a time-out nobody tries again, and how long the one who then tries waits for a PONG.
OPEN_SECONDS = 3.0
PROBE_SECONDS = 0.5
# A worker whose heartbeat is older than this is not waited for.
HEARTBEAT_LIFE_SECONDS = 4.0
# One that ends later than this is of before the clock was set back, and proves nothing. As in push.lua.
MAX_HEARTBEAT_LIFE_SECONDS = 60.0
# A list of 100 pictures has its answers in one round trip.
REPLIES_AT_ONCE = 100
# What a blocking command may take longer than it was asked to before the server counts as frozen.
GRACE_SECONDS = 0.5


class HandoffError(RuntimeError):
    """The hand-off cannot work with this Redis; the message says what to do."""


class Circuit:
    """Remembers that Redis does not answer, so that not every request pays the time-out again.

    Opened by a time-out only: a refused connection fails at once, and then a Redis that was restarted is found again
    with the next request. Once `OPEN_SECONDS` have passed, one caller asks with a short PING while the others go on
    without Redis.
    """

    def __init__(self, url: str) -> None:
        self._probe = redis.Redis.from_url(
            url, socket_timeout=PROBE_SECONDS, socket_connect_timeout=PROBE_SECONDS, retry=Retry(NoBackoff(), 0)
        )
        self._lock = threading.Lock()
        self._open_until = 0.0

    def is_open(self) -> bool:
        """True while it is known that asking Redis would be a waste of time."""
        if not self._open_until:
            return False
        with self._lock:
            now = time.monotonic()
            if not self._open_until:
                return False
            if now < self._open_until:
                return True
            self._open_until = now + OPEN_SECONDS  # the others pass by while this one asks
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
    """A Lua script of this folder. Redis knows it by its digest until it is restarted."""

    def __init__(self, name: str) -> None:
        self._text = (Path(__file__).parent / name).read_bytes()
        self._digest = hashlib.sha1(self._text, usedforsecurity=False).hexdigest()

    def run(self, there: "Link", keys: Sequence[str], arguments: Sequence[str | float]) -> Any:
        try:
            [answer] = there.exchange(("EVALSHA", self._digest, len(keys), *keys, *arguments))
        except redis.exceptions.NoScriptError:
            [answer] = there.exchange(("EVAL", self._text, len(keys), *keys, *arguments))
        return answer


class Link:
    """One process's way to one Redis. Thread-safe.

    Attributes:
        redis: for whatever is not said for each request or batch; that goes through `exchange`.
        replies: the list on which the answers to this process come.
        waiting: slots for requests that wait for predictions.
    """

    def __init__(self, url: str, timeout: float, waiting_requests: int) -> None:
        # A dropped connection (Redis was restarted) is opened again once; a time-out is never tried twice.
        self.redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            # How many there are follows from the threads. The pool counts what it makes and never hears of those that
            # `exchange` gives up: after a hundred requests without Redis it would make no more.
            max_connections=2**31,
        )
        self._push, self._end = Script("push.lua"), Script("end.lua")
        self._connections: list[redis.Connection] = []
        self.replies = Replies(self._pop)
        self.circuit = Circuit(url)
        self.waiting = FairSlots(waiting_requests)
        # When this process last heard how many workers live, and whether any did.
        self._heard, self._alive = float("-inf"), False

    def exchange(self, *commands: Sequence[str | bytes | float], seconds: float = 0) -> list:
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
                return self._exchange(connection, commands, seconds)
            except redis.ConnectionError:
                # One that was kept may have been dropped meanwhile (Redis was restarted), and so may all others.
                if is_new:
                    raise

    def _exchange(self, connection: redis.Connection, commands: Sequence, seconds: float) -> list:
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

    def push(
        self,
        target: str,
        items: Sequence[str | int],
        *,
        token: str,
        lease: float,
        patience: float = 0,
        limit: int = 0,
    ) -> tuple[str, float]:
        """push.lua: what became of `token`, and Redis's time."""
        arguments = (token, lease, settings.PREDICTION_BATCH, patience, limit, *items)
        what, alive, now = self._push.run(self, (target, SHIFTS, WORKERS), arguments)
        self._heard, self._alive = time.monotonic(), bool(alive)
        return what.decode(), float(now)

    def end(self, token: str, *, successor: str, lease: float, always: bool) -> str:
        """end.lua: what became of the shift `token`."""
        arguments = (token, successor, lease, "1" if always else "0")
        return self._end.run(self, (QUEUE, PREVIEWS, SHIFTS), arguments).decode()

    def queue_length(self) -> int:
        """How many submissions wait on the list."""
        return int(self.redis.llen(QUEUE))

    def worker_alive(self) -> bool:
        """Whether a worker's heartbeat is current. What a push of this second said is believed."""
        if time.monotonic() - self._heard > 1.0:
            now = self._now()
            alive = self.redis.zcount(WORKERS, now, now + MAX_HEARTBEAT_LIFE_SECONDS)
            self._heard, self._alive = time.monotonic(), bool(alive)
        return self._alive

    def heartbeats(self) -> dict[str, float]:
        """How many seconds ago each prediction worker last said that it lives; those that fell silent are left out."""
        now = self._now()
        alive = self.redis.zrangebyscore(WORKERS, now, now + MAX_HEARTBEAT_LIFE_SECONDS, withscores=True)
        return {name.decode(): max(0.0, now + HEARTBEAT_LIFE_SECONDS - end) for name, end in alive}

    def _now(self) -> float:
        """Redis's own time, in seconds."""
        seconds, microseconds = self.redis.time()
        return seconds + microseconds / 1e6

    def _pop(self, address: str, seconds: float) -> Sequence[bytes]:
        """What came on the list `address`, as soon as something did; nothing after `seconds`."""
        [popped] = self.exchange(("BLMPOP", seconds, 1, address, "LEFT", "COUNT", REPLIES_AT_ONCE), seconds=seconds)
        return popped[1] if popped else ()

    def check_server(self) -> None:
        """Raises:
        HandoffError: the server is older than the hand-off needs.
        """
        version = str(self.redis.info("server").get("redis_version", "0"))
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
            raise HandoffError(
                f"REDIS_URL leads to a Redis {version}; this site needs Redis 7.0 or newer, or Valkey, for BLMPOP."
            )


@cache
def _link(url: str, timeout: float, waiting_requests: int) -> Link:
    return Link(url, timeout, waiting_requests)


# A child that shared its parent's connections would take its answers.
os.register_at_fork(after_in_child=_link.cache_clear)


def link() -> Link:
    """This process's link to the Redis of the settings."""
    return _link(settings.HANDOFF_URL, settings.REDIS_TIMEOUT, settings.MAX_WAITING_REQUESTS)
