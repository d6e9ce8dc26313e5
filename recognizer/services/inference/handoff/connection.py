"""State of the hand-off in Redis: the two scripts, the reply list of this process and the heartbeats of workers."""

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from django.conf import settings

from recognizer.services.lib.fair_slots import FairSlots
from recognizer.services.lib.redis_client import RedisClient, Script, redis_client

from .replies import Replies

FOLDER = Path(__file__).parent

QUEUE, PREVIEWS, SHIFTS, WORKERS = "queue", "previews", "shifts", "workers"

# BLMPOP, which takes a whole batch in one round trip, came with 7.0; every Valkey has it.
OLDEST_REDIS = (7, 0)
# A worker whose heartbeat is older than this is not waited for.
HEARTBEAT_LIFE_SECONDS = 4.0
# One that ends later than this is of before the clock was set back, and proves nothing. As in push.lua.
MAX_HEARTBEAT_LIFE_SECONDS = 60.0
# A list of 100 pictures has its answers in one round trip.
REPLIES_AT_ONCE = 100


class HandoffError(RuntimeError):
    """The hand-off cannot work with this Redis; the message says what to do."""


class Link:
    """The hand-off as one process sees it. Thread-safe.

    Attributes:
        redis, circuit, execute: those of the `RedisClient` below.
        replies: the list on which the answers to this process come.
        waiting: slots for requests that wait for predictions.
    """

    def __init__(self, client: RedisClient, waiting_requests: int) -> None:
        self._client = client
        self.redis, self.circuit, self.execute = client.redis, client.circuit, client.execute
        self._push, self._end = Script(FOLDER / "push.lua"), Script(FOLDER / "end.lua")
        self.replies = Replies(self._pop)
        self.waiting = FairSlots(waiting_requests)
        # When this process last heard how many workers live, and whether any did.
        self._heard, self._alive = float("-inf"), False

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
        what, alive, now = self._push.run(self._client, (target, SHIFTS, WORKERS), arguments)
        self._heard, self._alive = time.monotonic(), bool(alive)
        return what.decode(), float(now)

    def end(self, token: str, *, successor: str, lease: float, always: bool) -> str:
        """end.lua: what became of the shift `token`."""
        arguments = (token, successor, lease, "1" if always else "0")
        return self._end.run(self._client, (QUEUE, PREVIEWS, SHIFTS), arguments).decode()

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
        [popped] = self.execute(("BLMPOP", seconds, 1, address, "LEFT", "COUNT", REPLIES_AT_ONCE), seconds=seconds)
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
def _link(client: RedisClient, waiting_requests: int) -> Link:
    return Link(client, waiting_requests)


def link() -> Link:
    """This process's link to the Redis of the settings."""
    return _link(redis_client(), settings.MAX_WAITING_REQUESTS)
