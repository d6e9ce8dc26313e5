"""Where the answers to one process arrive: one list in Redis, from which its waiting threads pop for each other.

Each item of the list begins with the key of what it answers. Of the threads that wait, one leads: it asks Redis, hands
to each what is its own, wakes those who have all they wait for, and once it has its own, another one leads. So whoever
waits alone pays for no switch of threads, and many who wait share every round trip.
"""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

# After so long an answer that was expected and not waited for is forgotten: longer than any request waits. Redis
# keeps what nobody popped for as long (handoff.serving).
KEPT_SECONDS = 30 + 10

# Pops from a list: its name and the seconds to wait for a first item, to the items.
Pop = Callable[[str, float], Sequence[bytes]]


class _Waiter:
    """A thread that waits for answers. `gate` lets it go on: to go with what it got, or to lead."""

    __slots__ = ("gate", "got", "is_over", "missing")

    def __init__(self) -> None:
        self.missing: set[bytes] = set()
        self.got: dict[bytes, bytes] = {}
        self.gate: SimpleQueue[None] = SimpleQueue()
        self.is_over = False


class Replies:
    """Thread-safe.

    Attributes:
        address: the name of the list, of this process alone; goes with whatever wants an answer.
    """

    def __init__(self, pop: Pop) -> None:
        self.address = f"replies:{secrets.token_hex(8)}"
        self._pop = pop
        self._lock = threading.Lock()
        # By key: what is expected, with the end of its time and, if it came before anybody waited, the answer.
        self._expected: dict[bytes, tuple[float, bytes | None]] = {}
        self._waiting: dict[bytes, _Waiter] = {}
        self._leader: _Waiter | None = None
        self._followers: dict[_Waiter, None] = {}  # the one who came last at the end

    def expect(self, keys: Sequence[bytes]) -> None:
        """Keep the answers that will come to these keys. To be called before they are asked for."""
        now = time.monotonic()
        with self._lock:
            while self._expected and (first := next(iter(self._expected))) and self._expected[first][0] < now:
                del self._expected[first]
            self._expected.update(dict.fromkeys(keys, (now + KEPT_SECONDS, None)))

    def expects(self, key: bytes) -> bool:
        return key in self._expected

    def collect(self, keys: Sequence[bytes], deadline: float) -> dict[bytes, bytes]:
        """Wait for the answers to keys that are expected.

        Args:
            deadline: by `time.monotonic`.

        Returns:
            Those that came in time. The others are not expected any more.

        Raises:
            redis.RedisError: this thread was the one to ask Redis, and it failed; the others get what came so far.
        """
        mine = _Waiter()
        with self._lock:
            for key in keys:
                _, answer = self._expected.pop(key, (0, None))
                if answer is None:
                    mine.missing.add(key)
                    self._waiting[key] = mine
                else:
                    mine.got[key] = answer
            if mine.missing and self._leader is None:
                self._leader = mine
            elif mine.missing:
                self._followers[mine] = None
        try:
            while mine.missing and not mine.is_over and (left := deadline - time.monotonic()) > 0:
                if self._leader is mine:
                    self._deliver(self._pop(self.address, left))
                else:
                    mine.gate.get(timeout=left)
        except Empty:
            pass
        except BaseException:
            if self._leader is mine:
                self._let_all_go()
            raise
        finally:
            self._leave(mine)
        return mine.got

    def _deliver(self, items: Sequence[bytes]) -> None:
        with self._lock:
            for item in items:
                key, _, answer = item.partition(b" ")
                waiter = self._waiting.pop(key, None)
                if waiter is not None:
                    waiter.got[key] = answer
                    waiter.missing.discard(key)
                    if not waiter.missing and waiter in self._followers:
                        del self._followers[waiter]
                        waiter.gate.put(None)
                elif key in self._expected:  # its thread will come for it
                    self._expected[key] = (self._expected[key][0], answer)

    def _leave(self, mine: _Waiter) -> None:
        """Clean up after a waiter, and let another one lead if it led."""
        with self._lock:
            for key in mine.missing:
                if self._waiting.get(key) is mine:
                    del self._waiting[key]
            self._followers.pop(mine, None)
            if self._leader is mine:
                self._leader = None
                if self._followers:
                    # Who came last is answered last and waits longest: the lead changes least often.
                    self._leader, _ = self._followers.popitem()
                    self._leader.gate.put(None)

    def _let_all_go(self) -> None:
        """Redis failed the one who led: the others shall not wait for it to fail them too."""
        with self._lock:
            for waiter in self._followers:
                waiter.is_over = True
                waiter.gate.put(None)
            self._followers.clear()
