"""A bounded thread pool for requests, shared fairly between callers."""

import itertools
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

# A single caller may use three quarters of the threads; the rest is reserved for other callers.
RESERVE_SHARE = 0.25
IDLE_SECONDS = 30.0
_thread_numbers = itertools.count(1)


class PoolFullError(Exception):
    """The maximum number of jobs is waiting already."""


def _do_nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Work for a thread.

    Attributes:
        run: The work; must not raise.
        caller: Callers take turns (round robin).
        large_bytes: Size of a large request body, or 0. The total of all running jobs is limited.
        is_deferrable: Run the job only if no other job waits for a thread, and drop it first.
        expires_at: Time (`time.monotonic`) after which the job is dropped instead of run.
        drop: Called instead of `run` if the job expires or is displaced by a job of another caller; must not raise.
    """

    run: Callable[[], None]
    caller: str
    large_bytes: int = 0
    is_deferrable: bool = False
    expires_at: float = math.inf
    drop: Callable[[], None] = _do_nothing


class _FairQueue:
    """Waiting jobs, in round-robin order of their callers. Not thread-safe.

    Args:
        max_size: Maximum number of jobs.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        # (caller, is_large) -> jobs, oldest first. The first key is the next caller.
        self._jobs: dict[tuple[str, bool], deque[Job]] = {}
        self._counts: Counter[str] = Counter()

    def append(self, job: Job) -> Job | None:
        """Add a job.

        Returns:
            The job that was displaced, if any.

        Raises:
            PoolFullError: The queue is full, and no caller has at least two jobs more than this one. With a smaller
                difference, callers would displace each other in turn.
        """
        dropped = None
        if self._counts.total() >= self._max_size:
            greediest = max(self._counts, key=self._counts.__getitem__, default=job.caller)
            if self._counts[greediest] < self._counts[job.caller] + 2:
                raise PoolFullError
            dropped = self._pop_newest(greediest)
        self._jobs.setdefault((job.caller, job.large_bytes > 0), deque()).append(job)
        self._counts[job.caller] += 1
        return dropped

    def pop(self, may_run: Callable[[str], bool], has_room: Callable[[int], bool]) -> Job | None:
        """Remove the first job that may run, and move its caller to the end of the queue.

        Args:
            may_run: Whether another job of a caller may run.
            has_room: Whether another large job of this size may run.

        Returns:
            The job, or None if no job may run.
        """
        is_large_blocked = False
        for key, jobs in self._jobs.items():
            caller, is_large = key
            if not may_run(caller) or (is_large and is_large_blocked):
                continue
            if is_large and not has_room(jobs[0].large_bytes):
                is_large_blocked = True  # later large jobs must not overtake it, or it might never run
                continue
            job = jobs.popleft()
            del self._jobs[key]
            if jobs:
                self._jobs[key] = jobs
            self._discount(job)
            return job
        return None

    def _pop_newest(self, caller: str) -> Job:
        key = max((key for key in self._jobs if key[0] == caller), key=lambda key: len(self._jobs[key]))
        job = self._jobs[key].pop()
        if not self._jobs[key]:
            del self._jobs[key]
        self._discount(job)
        return job

    def _discount(self, job: Job) -> None:
        self._counts[job.caller] -= 1
        if not self._counts[job.caller]:
            del self._counts[job.caller]


class ThreadPool:
    """Runs jobs in at most `max_threads` threads. Thread-safe.

    Callers take turns (round robin), so that a caller with a thousand requests delays those of other callers by one job
    each. When too many jobs wait, the newest job of the caller with the most jobs is dropped. Threads start on demand
    and end after `IDLE_SECONDS` without work.

    Args:
        max_threads: Maximum number of threads.
        max_waiting: Maximum number of waiting jobs that are not deferrable.
        max_large_bytes: Maximum total of `Job.large_bytes` of running jobs. A larger job runs without other large jobs.
        max_deferrable: Maximum number of running deferrable jobs.
        max_waiting_deferrable: Maximum number of waiting deferrable jobs.

    Attributes:
        thread_count: Number of threads at the moment.
    """

    def __init__(
        self,
        max_threads: int,
        *,
        max_waiting: int,
        max_large_bytes: int,
        max_deferrable: int = 2,
        max_waiting_deferrable: int = 64,
    ) -> None:
        self.max_threads = max_threads
        self._max_large_bytes = max_large_bytes
        self._max_per_caller = max(1, int(max_threads * (1 - RESERVE_SHARE)))
        self._max_deferrable = max_deferrable
        self._lock = threading.Lock()
        self._ready: SimpleQueue[Job] = SimpleQueue()
        self._urgent = _FairQueue(max_waiting)
        self._deferrable = _FairQueue(max_waiting_deferrable)
        self._running: set[Job] = set()
        self.thread_count = 0

    def submit(self, job: Job) -> None:
        """Queue a job, which runs in its turn.

        Raises:
            PoolFullError: Too many jobs are waiting; the job will not run.
        """
        with self._lock:
            dropped = (self._deferrable if job.is_deferrable else self._urgent).append(job)
            new_threads = self._dispatch()
        self._start(new_threads)
        if dropped is not None:
            dropped.drop()

    def _dispatch(self) -> int:
        """Pass waiting jobs to threads while threads are free; return the number of threads to start."""
        while len(self._running) < self.max_threads and (job := self._pop_next()) is not None:
            self._running.add(job)
            self._ready.put(job)
        new_threads = max(0, len(self._running) - self.thread_count)
        self.thread_count += new_threads
        return new_threads

    def _pop_next(self) -> Job | None:
        """Remove the next job that may run from its queue."""
        job = self._urgent.pop(self._may_run, self._has_room)
        if job is None and sum(running.is_deferrable for running in self._running) < self._max_deferrable:
            job = self._deferrable.pop(self._may_run, self._has_room)
        return job

    def _may_run(self, caller: str) -> bool:
        return sum(job.caller == caller for job in self._running) < self._max_per_caller

    def _has_room(self, large_bytes: int) -> bool:
        running = sum(job.large_bytes for job in self._running)
        return not running or running + large_bytes <= self._max_large_bytes

    def _start(self, count: int) -> None:
        for _ in range(count):
            threading.Thread(target=self._work, name=f"request-{next(_thread_numbers)}", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                job = self._ready.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    # A job may have been dispatched to this thread in the meantime.
                    if len(self._running) < self.thread_count:
                        self.thread_count -= 1
                        return
                continue
            (job.drop if time.monotonic() > job.expires_at else job.run)()
            with self._lock:
                self._running.remove(job)
                new_threads = self._dispatch()
            del job  # an idle thread must not keep the last request in memory
            self._start(new_threads)
