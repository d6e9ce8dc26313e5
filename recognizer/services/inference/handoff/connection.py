"""Redis client of the prediction queue: Lua scripts, reply list and worker heartbeats."""

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import cast

from django.conf import settings

from recognizer.services.lib.fair_slots import FairSlots
from recognizer.services.lib.redis_client import RedisClient, Script, redis_client

from .replies import Replies

FOLDER = Path(__file__).parent

QUEUE, PREVIEWS, SHIFTS, WORKERS = "queue", "previews", "shifts", "workers"

# BLMPOP, which pops a whole batch in one round trip, was added in Redis 7.0; every Valkey has it.
MIN_REDIS_VERSION = (7, 0)
# A heartbeat expires after this time, and requests then no longer wait for the worker.
HEARTBEAT_LIFE_SECONDS = 4.0
# A later expiry is from before the clock was set back, and is ignored. Must match push.lua.
MAX_HEARTBEAT_LIFE_SECONDS = 60.0
# A batch of 100 images gets its results in one round trip.
MAX_POPPED_REPLIES = 100


class HandoffError(RuntimeError):
    """The Redis server is unsuitable for the prediction queue; the message says what to do."""


class Link:
    """This process's client of the prediction queue. Thread-safe.

    Attributes:
        redis: As in `RedisClient`.
        circuit: As in `RedisClient`.
        execute: As in `RedisClient`.
        replies: The reply list of this process.
        waiting: Slots for requests that wait for predictions.
    """

    def __init__(self, client: RedisClient, waiting_requests: int) -> None:
        self._client = client
        self.redis, self.circuit, self.execute = client.redis, client.circuit, client.execute
        self._push, self._end = Script(FOLDER / "push.lua"), Script(FOLDER / "end.lua")
        self.replies = Replies(self._pop)
        self.waiting = FairSlots(waiting_requests)
        # Time at which this process last read the heartbeats, and whether any was current.
        self._checked_at, self._alive = float("-inf"), False

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
        """Run push.lua, which appends items to a list.

        Args:
            target: Name of the list.
            items: The items, possibly none.
            token: Token of the worker session that may be needed.
            lease: Lease of that session, in seconds.
            patience: Seconds after which the items are stale; 0 for never.
            limit: Maximum length of the list; 0 for no limit.

        Returns:
            The outcome for `token` (see push.lua), and Redis's time in seconds.
        """
        arguments = (token, lease, settings.PREDICTION_BATCH, patience, limit, *items)
        outcome, alive, now = self._push.run(self._client, (target, SHIFTS, WORKERS), arguments)
        self._checked_at, self._alive = time.monotonic(), bool(alive)
        return outcome.decode(), float(now)

    def end(self, token: str, *, successor: str, lease: float, always: bool) -> str:
        """Run end.lua, which releases or transfers the lease of a worker session.

        Args:
            token: Token of the session.
            successor: Token of the next session, or "".
            lease: Lease of the next session, in seconds.
            always: Whether to transfer the lease even if the queue is empty.

        Returns:
            The outcome for `token` (see end.lua).
        """
        arguments = (token, successor, lease, "1" if always else "0")
        outcome: bytes = self._end.run(self._client, (QUEUE, PREVIEWS, SHIFTS), arguments)
        return outcome.decode()

    def queue_length(self) -> int:
        """Return the number of submissions in the queue."""
        return int(self.redis.llen(QUEUE))

    def worker_alive(self) -> bool:
        """Return whether a worker's heartbeat is current. A result less than a second old is reused."""
        if time.monotonic() - self._checked_at > 1.0:
            now = self._now()
            alive = self.redis.zcount(WORKERS, now, now + MAX_HEARTBEAT_LIFE_SECONDS)
            self._checked_at, self._alive = time.monotonic(), bool(alive)
        return self._alive

    def heartbeats(self) -> dict[str, float]:
        """Return the age of each prediction worker's heartbeat in seconds, without expired ones."""
        now = self._now()
        alive = self.redis.zrangebyscore(WORKERS, now, now + MAX_HEARTBEAT_LIFE_SECONDS, withscores=True)
        ends = cast("list[tuple[bytes, float]]", alive)
        return {name.decode(): max(0.0, now + HEARTBEAT_LIFE_SECONDS - end) for name, end in ends}

    def _now(self) -> float:
        """Return Redis's time in seconds."""
        seconds, microseconds = self.redis.time()
        return seconds + microseconds / 1e6

    def _pop(self, address: str, seconds: float) -> Sequence[bytes]:
        """Pop items from the list `address` as soon as there are any; return none after `seconds`."""
        [popped] = self.execute(("BLMPOP", seconds, 1, address, "LEFT", "COUNT", MAX_POPPED_REPLIES), seconds=seconds)
        return popped[1] if popped else ()

    def check_server(self) -> None:
        """Check the version of the Redis server.

        Raises:
            HandoffError: The server is too old for the prediction queue.
        """
        version = str(self.redis.info("server").get("redis_version", "0"))
        if tuple(int(part) for part in version.split(".")[:2]) < MIN_REDIS_VERSION:
            raise HandoffError(
                f"REDIS_URL leads to a Redis {version}; this site needs Redis 7.0 or newer, or Valkey, for BLMPOP."
            )


@cache
def _link(client: RedisClient, waiting_requests: int) -> Link:
    return Link(client, waiting_requests)


def link() -> Link:
    """Return this process's client of the prediction queue on the Redis of the settings."""
    return _link(redis_client(), settings.MAX_WAITING_REQUESTS)
