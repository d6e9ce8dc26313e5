"""Durations that neither a changed wall clock nor a suspended machine distorts.

Imports nothing of Django, to keep the supervisor small.
"""

import threading
import time
from collections.abc import Callable


class AwakeClock:
    """Clock of the seconds during which this process has been running. Thread-safe.

    A sleeping laptop, a stopped process group and a frozen container suspend a watcher together with what it watches,
    and on some systems the monotonic clock continues during that time.

    Args:
        monotonic: the clock from which it is read.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last = monotonic()
        self._seconds = 0.0

    def now(self, max_gap: float) -> float:
        """Return the seconds so far.

        Args:
            max_gap: the maximum number of seconds counted between two readings; the process was suspended for the
                rest of a longer gap.
        """
        with self._lock:
            reading = self._monotonic()
            self._seconds += min(max(reading - self._last, 0.0), max_gap)
            self._last = reading
            return self._seconds


class HeartbeatMonitor:
    """Measures how long a heartbeat has not changed, in time during which this process itself ran. Thread-safe.

    Args:
        monotonic: the clock by which it is measured.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = AwakeClock(monotonic)
        self._lock = threading.Lock()
        self._heartbeat: object = None
        self._since = 0.0

    def unchanged_seconds(self, heartbeat: object, *, max_gap: float) -> float:
        """Return how many seconds ago this heartbeat was first observed; 0 if it differs from the previous one.

        Args:
            heartbeat: a value that changes as long as the watched process runs.
            max_gap: as in `AwakeClock.now`.
        """
        with self._lock:
            now = self._clock.now(max_gap)
            if heartbeat != self._heartbeat:
                self._heartbeat, self._since = heartbeat, now
            return now - self._since
