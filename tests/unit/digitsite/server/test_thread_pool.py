"""The thread pool for requests: limits, fairness between callers, idle threads."""

import math
import threading
import time
from collections.abc import Iterator

import pytest

from digitsite.server import thread_pool
from digitsite.server.thread_pool import Job, PoolFullError, ThreadPool
from digitsite.testing.site import wait_until


class Gate:
    """Jobs that run until they are released, the order in which they started, and those that were dropped."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.dropped: list[str] = []
        self._release = threading.Event()
        self._all_done = threading.Semaphore(0)

    def job(
        self,
        caller: str,
        name: str = "",
        large_bytes: int = 0,
        *,
        is_deferrable: bool = False,
        expires_at: float = math.inf,
    ) -> Job:
        def run() -> None:
            self.started.append(name or caller)
            self._release.wait(10)
            self._all_done.release()

        def drop() -> None:
            self.dropped.append(name or caller)
            self._all_done.release()

        return Job(run, caller, large_bytes, is_deferrable, expires_at, drop)

    def open(self, count: int) -> None:
        """Let all jobs finish, and wait for `count` of them."""
        self._release.set()
        for _ in range(count):
            assert self._all_done.acquire(timeout=10)

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.started) >= count, event=f"the start of {count} jobs")


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open(0)


def make_pool(threads: int, *, waiting: int = 100, large_bytes: int = 100) -> ThreadPool:
    return ThreadPool(threads, max_waiting=waiting, max_large_bytes=large_bytes)


def test_single_caller_gets_three_quarters_of_the_threads(gate: Gate) -> None:
    pool = make_pool(8)
    for _ in range(8):
        pool.submit(gate.job("greedy"))
    pool.submit(gate.job("other"))
    gate.wait_for(7)
    assert sorted(gate.started) == ["greedy"] * 6 + ["other"]
    gate.open(9)
    assert pool.thread_count <= 8


def test_callers_take_turns(gate: Gate) -> None:
    pool = make_pool(1)
    pool.submit(gate.job("first"))
    gate.wait_for(1)
    for number in range(5):
        pool.submit(gate.job("greedy", f"greedy {number}"))
    for number in range(2):
        pool.submit(gate.job("modest", f"modest {number}"))
    gate.open(8)
    assert gate.started == ["first", "greedy 0", "modest 0", "greedy 1", "modest 1", "greedy 2", "greedy 3", "greedy 4"]


def test_large_bodies_wait_for_each_other_and_small_ones_overtake_them(gate: Gate) -> None:
    pool = make_pool(8, large_bytes=100)
    pool.submit(gate.job("a", "a 60", 60))
    pool.submit(gate.job("b", "b 60", 60))
    pool.submit(gate.job("c", "c 30", 30))  # waits behind b, although it would fit
    pool.submit(gate.job("c", "c small"))
    gate.wait_for(2)
    assert gate.started == ["a 60", "c small"]
    gate.open(4)
    assert set(gate.started[2:]) == {"b 60", "c 30"}


def test_body_larger_than_the_limit_runs_without_other_large_bodies(gate: Gate) -> None:
    pool = make_pool(8, large_bytes=100)
    pool.submit(gate.job("a", "huge", 1000))
    gate.wait_for(1)
    gate.open(1)


def test_full_pool_rejects_jobs(gate: Gate) -> None:
    pool = make_pool(1, waiting=2)
    pool.submit(gate.job("a"))
    gate.wait_for(1)
    for _ in range(2):
        pool.submit(gate.job("a"))
    with pytest.raises(PoolFullError):
        pool.submit(gate.job("a"))
    gate.open(3)


def test_full_pool_drops_a_job_of_the_caller_with_the_most_jobs(gate: Gate) -> None:
    pool = make_pool(1, waiting=3)
    pool.submit(gate.job("greedy", "running"))
    gate.wait_for(1)
    for number in range(3):
        pool.submit(gate.job("greedy", f"greedy {number}"))
    pool.submit(gate.job("modest"))
    assert gate.dropped == ["greedy 2"]
    with pytest.raises(PoolFullError):
        pool.submit(gate.job("greedy"))
    with pytest.raises(PoolFullError):  # otherwise the two would displace each other in turn
        pool.submit(gate.job("modest"))
    gate.open(5)
    assert set(gate.started) == {"running", "greedy 0", "greedy 1", "modest"}


def test_deferrable_jobs_are_limited_and_run_after_other_jobs(gate: Gate) -> None:
    pool = ThreadPool(4, max_waiting=100, max_large_bytes=100, max_deferrable=1)
    for number in range(3):
        pool.submit(gate.job("a", f"preview {number}", is_deferrable=True))
    for name in ("b", "c", "d", "e"):
        pool.submit(gate.job(name))
    gate.wait_for(4)
    assert gate.started == ["preview 0", "b", "c", "d"]
    gate.open(7)
    assert gate.started.index("e") < gate.started.index("preview 1")


def test_deferrable_jobs_have_their_own_queue(gate: Gate) -> None:
    pool = ThreadPool(1, max_waiting=1, max_large_bytes=100, max_deferrable=1, max_waiting_deferrable=2)
    pool.submit(gate.job("a", "running"))
    gate.wait_for(1)
    pool.submit(gate.job("a", "preview 0", is_deferrable=True))
    pool.submit(gate.job("a", "preview 1", is_deferrable=True))
    with pytest.raises(PoolFullError):
        pool.submit(gate.job("a", "preview 2", is_deferrable=True))
    pool.submit(gate.job("b", "preview of b", is_deferrable=True))
    pool.submit(gate.job("a", "page"))
    assert gate.dropped == ["preview 1"]
    gate.open(5)
    assert gate.started == ["running", "page", "preview 0", "preview of b"]


def test_expired_job_is_dropped(gate: Gate) -> None:
    pool = make_pool(1)
    pool.submit(gate.job("a", "running"))
    gate.wait_for(1)
    pool.submit(gate.job("a", "late", is_deferrable=True, expires_at=time.monotonic()))
    gate.open(2)
    assert (gate.started, gate.dropped) == (["running"], ["late"])


def test_idle_threads_end_and_start_again(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "IDLE_SECONDS", 0.05)
    pool = make_pool(8)
    for number in range(8):
        pool.submit(gate.job(str(number)))
    gate.open(8)
    wait_until(lambda: pool.thread_count == 0, event="the end of idle threads")
    pool.submit(gate.job("late"))
    gate.open(1)
    assert gate.started[-1] == "late"


def test_no_job_is_lost_while_threads_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "IDLE_SECONDS", 0.0001)
    pool = make_pool(4, waiting=100_000)
    done = threading.Semaphore(0)

    def submit_many() -> None:
        for number in range(1000):
            pool.submit(Job(done.release, str(number % 7)))

    senders = [threading.Thread(target=submit_many) for _ in range(4)]
    for sender in senders:
        sender.start()
    for _ in range(4000):
        assert done.acquire(timeout=10)
