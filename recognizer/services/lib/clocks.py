"""Durations that neither a set wall clock nor a suspended machine falsifies.

Imports nothing of Django, for
the supervisor is to stay small.
"""

import threading
import time
from collections.abc import Callable


class AwakeClock:
    """Seconds for which this process has been running. Thread-safe.

    A sleeping laptop, a stopped process group and a frozen container suspend a watcher together with what it watches,
    and not every system's monotonic clock stands still meanwhile.

    Args:
        monotonic: the clock that it is read from.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last = monotonic()
        self._seconds = 0.0

    def now(self, max_gap: float) -> float:
        """Return the seconds so far.

        Args:
            max_gap: what passed since the last reading counts for at most so many seconds; beyond them this process was
                suspended.
        """
        with self._lock:
            read = self._monotonic()
            self._seconds += min(max(read - self._last, 0.0), max_gap)
            self._last = read
            return self._seconds


class HeartbeatMonitor:
    """For how long a sign of life has been the same, in time during which this process itself was running. Thread-safe.

    Args:
        monotonic: the clock that it is measured by.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = AwakeClock(monotonic)
        self._lock = threading.Lock()
        self._sign: object = None
        self._since = 0.0

    def unchanged_seconds(self, sign: object, *, max_gap: float) -> float:
        """Return how long ago `sign` was first seen; 0 where it differs from the last one.

        Args:
            sign: anything that changes while the watched process lives, such as its last heartbeat.
            max_gap: as of `AwakeClock.now`.
        """
        with self._lock:
            now = self._clock.now(max_gap)
            if sign != self._sign:
                self._sign, self._since = sign, now
            return now - self._since
