"""The threads that run requests: bounded in number, shared fairly between callers."""

import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

# One caller alone may use three quarters of the threads; the rest is kept for others.
RESERVE_SHARE = 0.25
IDLE_SECONDS = 30.0
_thread_numbers = itertools.count(1)


class PoolFullError(Exception):
    """More jobs are waiting than the pool accepts."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Work for a thread.

    Attributes:
        run: must not raise.
        caller: for whom; callers take turns.
        large_bytes: size of a large request body, of which only some may be worked on at once; 0 for a small one.
    """

    run: Callable[[], None]
    caller: str
    large_bytes: int = 0


class ThreadPool:
    """Run jobs in at most `max_threads` threads. Thread-safe.

    A free thread takes the next job of the caller whose turn it is (round robin), so that a caller with a thousand
    requests delays another one's by one job and not by a thousand. Threads start when needed and end after
    `IDLE_SECONDS` without work.

    Args:
        max_threads: threads in all.
        max_waiting: jobs that may wait for a thread.
        max_large_bytes: `Job.large_bytes` of all running jobs together; a larger job runs when no other large one does.
    """

    def __init__(self, max_threads: int, *, max_waiting: int, max_large_bytes: int) -> None:
        self.max_threads = max_threads
        self._max_waiting = max_waiting
        self._max_large_bytes = max_large_bytes
        self._max_per_caller = max(1, int(max_threads * (1 - RESERVE_SHARE)))
        self._lock = threading.Lock()
        self._ready: SimpleQueue[Job] = SimpleQueue()
        self._waiting: dict[tuple[str, bool], deque[Job]] = {}
        self._waiting_count = 0
        self._running_count = 0
        self._running_by_caller: Counter[str] = Counter()
        self._running_large_bytes = 0
        self._thread_count = 0

    @property
    def thread_count(self) -> int:
        """Threads that exist at this moment."""
        return self._thread_count

    def submit(self, job: Job) -> None:
        """Run `job` as soon as it is its turn.

        Raises:
            PoolFullError: too many jobs wait already; the job will not run.
        """
        with self._lock:
            if self._waiting_count >= self._max_waiting:
                raise PoolFullError
            self._waiting.setdefault((job.caller, job.large_bytes > 0), deque()).append(job)
            self._waiting_count += 1
            new_threads = self._dispatch()
        self._start(new_threads)

    def _dispatch(self) -> int:
        """Hand waiting jobs to threads while there are any; return how many threads have to be started for them."""
        while self._running_count < self.max_threads and (job := self._pop_next()) is not None:
            self._waiting_count -= 1
            self._running_count += 1
            self._running_by_caller[job.caller] += 1
            self._running_large_bytes += job.large_bytes
            self._ready.put(job)
        new_threads = max(0, self._running_count - self._thread_count)
        self._thread_count += new_threads
        return new_threads

    def _pop_next(self) -> Job | None:
        """Take the first job that may run out of the waiting ones, and move its caller to the end of the line."""
        is_large_blocked = False
        for key, jobs in self._waiting.items():
            caller, is_large = key
            if self._running_by_caller[caller] >= self._max_per_caller or (is_large and is_large_blocked):
                continue
            if is_large and not self._has_room_for(jobs[0]):
                is_large_blocked = True  # those behind it must not pass it, or it might wait without end
                continue
            job = jobs.popleft()
            del self._waiting[key]
            if jobs:
                self._waiting[key] = jobs
            return job
        return None

    def _has_room_for(self, job: Job) -> bool:
        running = self._running_large_bytes
        return not running or running + job.large_bytes <= self._max_large_bytes

    def _start(self, count: int) -> None:
        for _ in range(count):
            threading.Thread(target=self._work, name=f"request-{next(_thread_numbers)}", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                job = self._ready.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    # A job may have been handed over since, counting on this thread.
                    if self._running_count < self._thread_count:
                        self._thread_count -= 1
                        return
                continue
            job.run()
            with self._lock:
                self._running_count -= 1
                self._running_large_bytes -= job.large_bytes
                self._running_by_caller[job.caller] -= 1
                if not self._running_by_caller[job.caller]:
                    del self._running_by_caller[job.caller]
                new_threads = self._dispatch()
            del job  # an idle thread must not hold on to the last request
            self._start(new_threads)
