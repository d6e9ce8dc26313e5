"""Reply inbox: correlates the results on one Redis list with the waiting threads of a process.

Each item of the list begins with the key of its request. One of the waiting threads is the leader: it pops from Redis,
dispatches items to the other threads, wakes those that are complete, and passes the lead on when it is complete itself.
A single waiter needs no thread switch, and many waiters share each round trip.
"""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

# Replies that are not collected expire after this time, which is longer than the longest request timeout. Reply lists
# in Redis expire after the same time (handoff.serving).
REPLY_LIFE_SECONDS = 30 + 10

# Pops items from a list. Arguments: the name of the list, and the seconds to wait for the first item.
Pop = Callable[[str, float], Sequence[bytes]]


class _Waiter:
    """A thread that waits for replies.

    Attributes:
        missing: Keys without a reply.
        replies: Replies by key.
        wakeup: Gets an item when the thread has all replies, becomes the leader or is released.
        is_released: Whether the thread should return with the replies it has.
    """

    __slots__ = ("is_released", "missing", "replies", "wakeup")

    def __init__(self) -> None:
        self.missing: set[bytes] = set()
        self.replies: dict[bytes, bytes] = {}
        self.wakeup: SimpleQueue[None] = SimpleQueue()
        self.is_released = False


class Replies:
    """Reply inbox of one process. Thread-safe.

    Attributes:
        address: Name of the Redis list, which is sent along with each request.
    """

    def __init__(self, pop: Pop) -> None:
        self.address = f"replies:{secrets.token_hex(8)}"
        self._pop = pop
        self._lock = threading.Lock()
        # By key: the expiry and, if it arrived before a thread waited for it, the reply.
        self._expected: dict[bytes, tuple[float, bytes | None]] = {}
        self._waiting: dict[bytes, _Waiter] = {}
        self._leader: _Waiter | None = None
        self._followers: dict[_Waiter, None] = {}  # an ordered set, the newest last

    def expect(self, keys: Sequence[bytes]) -> None:
        """Register keys, whose replies are kept from now on. Call this before the requests are sent."""
        now = time.monotonic()
        with self._lock:
            while self._expected and (first := next(iter(self._expected))) and self._expected[first][0] < now:
                del self._expected[first]
            self._expected.update(dict.fromkeys(keys, (now + REPLY_LIFE_SECONDS, None)))

    def expects(self, key: bytes) -> bool:
        """Return whether `key` is registered."""
        return key in self._expected

    def collect(self, keys: Sequence[bytes], deadline: float) -> dict[bytes, bytes]:
        """Wait for the replies to registered keys.

        Args:
            keys: The keys, which are deregistered.
            deadline: End of the wait, by `time.monotonic`.

        Returns:
            By key, the replies that arrived in time.

        Raises:
            redis.RedisError: This thread was the leader and Redis failed. The other threads return the replies that
                arrived so far.
        """
        waiter = _Waiter()
        with self._lock:
            for key in keys:
                _, reply = self._expected.pop(key, (0, None))
                if reply is None:
                    waiter.missing.add(key)
                    self._waiting[key] = waiter
                else:
                    waiter.replies[key] = reply
            if waiter.missing and self._leader is None:
                self._leader = waiter
            elif waiter.missing:
                self._followers[waiter] = None
        try:
            while waiter.missing and not waiter.is_released and (left := deadline - time.monotonic()) > 0:
                if self._leader is waiter:
                    self._dispatch(self._pop(self.address, left))
                else:
                    waiter.wakeup.get(timeout=left)
        except Empty:
            pass
        except BaseException:
            if self._leader is waiter:
                self._release_followers()
            raise
        finally:
            self._remove(waiter)
        return waiter.replies

    def _dispatch(self, items: Sequence[bytes]) -> None:
        """Hand replies to their waiters, and wake the followers that are complete."""
        with self._lock:
            for item in items:
                key, _, reply = item.partition(b" ")
                waiter = self._waiting.pop(key, None)
                if waiter is not None:
                    waiter.replies[key] = reply
                    waiter.missing.discard(key)
                    if not waiter.missing and waiter in self._followers:
                        del self._followers[waiter]
                        waiter.wakeup.put(None)
                elif key in self._expected:  # no thread waits for it yet
                    self._expected[key] = (self._expected[key][0], reply)

    def _remove(self, waiter: _Waiter) -> None:
        """Remove a waiter, and promote a follower if it was the leader."""
        with self._lock:
            for key in waiter.missing:
                if self._waiting.get(key) is waiter:
                    del self._waiting[key]
            self._followers.pop(waiter, None)
            if self._leader is waiter:
                self._leader = None
                if self._followers:
                    # The newest follower waits longest, so the leader changes least often.
                    self._leader, _ = self._followers.popitem()
                    self._leader.wakeup.put(None)

    def _release_followers(self) -> None:
        """Release the followers after a Redis error, so that they do not each wait for their own timeout."""
        with self._lock:
            for waiter in self._followers:
                waiter.is_released = True
                waiter.wakeup.put(None)
            self._followers.clear()
