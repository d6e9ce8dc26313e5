"""The threads that run requests: bounded in number, shared fairly between callers."""

import itertools
import math
import threading
import time
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


def _do_nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Work for a thread.

    Attributes:
        run: must not raise.
        caller: for whom; callers take turns.
        large_bytes: size of a large request body, of which only some may be worked on at once; 0 for a small one.
        is_deferrable: run it only while no other job waits for a thread, and drop it first.
        expires_at: by `time.monotonic`; it is dropped when its turn comes later.
        drop: called instead of `run` when the job has to make room for another caller's or comes too late; must not
            raise.
    """

    run: Callable[[], None]
    caller: str
    large_bytes: int = 0
    is_deferrable: bool = False
    expires_at: float = math.inf
    drop: Callable[[], None] = _do_nothing


class _Line:
    """Jobs that wait, in the order in which callers take turns. Not thread-safe.

    Args:
        max_size: jobs that it holds at most.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        # By caller and by whether the jobs are large; oldest first. The next caller's come first.
        self._jobs: dict[tuple[str, bool], deque[Job]] = {}
        self._counts: Counter[str] = Counter()
        self._size = 0

    def append(self, job: Job) -> Job | None:
        """Add a job and return the one that had to go for it, if any.

        Raises:
            PoolFullError: the line is full, and no other caller has at least two jobs more: callers would push each
                other out in turn.
        """
        dropped = None
        if self._size >= self._max_size:
            greediest = max(self._counts, key=self._counts.__getitem__, default=job.caller)
            if self._counts[greediest] < self._counts[job.caller] + 2:
                raise PoolFullError
            dropped = self._pop_newest(greediest)
        self._jobs.setdefault((job.caller, job.large_bytes > 0), deque()).append(job)
        self._counts[job.caller] += 1
        self._size += 1
        return dropped

    def pop(self, may_run: Callable[[str], bool], has_room: Callable[[int], bool]) -> Job | None:
        """Take the first job that may run, and move its caller to the end of the line.

        Args:
            may_run: whether one more job of a caller may run.
            has_room: whether one more large job of so many bytes may run.
        """
        is_large_blocked = False
        for key, jobs in self._jobs.items():
            caller, is_large = key
            if not may_run(caller) or (is_large and is_large_blocked):
                continue
            if is_large and not has_room(jobs[0].large_bytes):
                is_large_blocked = True  # those behind it must not pass it, or it might wait without end
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
        self._size -= 1
        self._counts[job.caller] -= 1
        if not self._counts[job.caller]:
            del self._counts[job.caller]


class ThreadPool:
    """Run jobs in at most `max_threads` threads. Thread-safe.

    A free thread takes the next job of the caller whose turn it is (round robin), so that a caller with a thousand
    requests delays another one's by one job and not by a thousand. When too many jobs wait, the caller with the most
    of them has its newest one dropped. Threads start when needed and end after `IDLE_SECONDS` without work.

    Args:
        max_threads: threads in all.
        max_waiting: jobs that may wait for a thread, beside deferrable ones.
        max_large_bytes: `Job.large_bytes` of all running jobs together; a larger job runs when no other large one does.
        max_deferrable: deferrable jobs that run at once.
        max_waiting_deferrable: deferrable jobs that may wait.
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
        self._urgent = _Line(max_waiting)
        self._deferrable = _Line(max_waiting_deferrable)
        self._running_count = 0
        self._running_deferrable = 0
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
            dropped = (self._deferrable if job.is_deferrable else self._urgent).append(job)
            new_threads = self._dispatch()
        self._start(new_threads)
        if dropped is not None:
            dropped.drop()

    def _dispatch(self) -> int:
        """Hand waiting jobs to threads while there are any; return how many threads have to be started for them."""
        while self._running_count < self.max_threads and (job := self._pop_next()) is not None:
            self._running_count += 1
            self._running_by_caller[job.caller] += 1
            self._running_large_bytes += job.large_bytes
            self._running_deferrable += job.is_deferrable
            self._ready.put(job)
        new_threads = max(0, self._running_count - self._thread_count)
        self._thread_count += new_threads
        return new_threads

    def _pop_next(self) -> Job | None:
        """Take the waiting job that runs next, if any may."""
        job = self._urgent.pop(self._may_run, self._has_room)
        if job is None and self._running_deferrable < self._max_deferrable:
            job = self._deferrable.pop(self._may_run, self._has_room)
        return job

    def _may_run(self, caller: str) -> bool:
        return self._running_by_caller[caller] < self._max_per_caller

    def _has_room(self, large_bytes: int) -> bool:
        running = self._running_large_bytes
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
                    # A job may have been handed over since, counting on this thread.
                    if self._running_count < self._thread_count:
                        self._thread_count -= 1
                        return
                continue
            (job.drop if time.monotonic() > job.expires_at else job.run)()
            with self._lock:
                self._running_count -= 1
                self._running_deferrable -= job.is_deferrable
                self._running_large_bytes -= job.large_bytes
                self._running_by_caller[job.caller] -= 1
                if not self._running_by_caller[job.caller]:
                    del self._running_by_caller[job.caller]
                new_threads = self._dispatch()
            del job  # an idle thread must not hold on to the last request
            self._start(new_threads)
