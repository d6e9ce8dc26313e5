"""The threads that run requests: bounded, shared fairly, gone when idle."""

import threading
from collections.abc import Iterator

import pytest

from digitsite.server import thread_pool
from digitsite.server.thread_pool import Job, PoolFullError, ThreadPool
from tests.support.site import wait_until


class Gate:
    """Jobs that run until they are released, and the order in which they started."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self._release = threading.Event()
        self._all_done = threading.Semaphore(0)

    def job(self, caller: str, name: str = "", large_bytes: int = 0) -> Job:
        def run() -> None:
            self.started.append(name or caller)
            self._release.wait(10)
            self._all_done.release()

        return Job(run, caller, large_bytes)

    def open(self, count: int) -> None:
        """Let all jobs run to their ends, and wait for `count` of them."""
        self._release.set()
        for _ in range(count):
            assert self._all_done.acquire(timeout=10)

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.started) >= count, what=f"the start of {count} jobs")


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open(0)


def make_pool(threads: int, *, waiting: int = 100, large_bytes: int = 100) -> ThreadPool:
    return ThreadPool(threads, max_waiting=waiting, max_large_bytes=large_bytes)


def test_one_caller_alone_gets_three_quarters_of_the_threads(gate: Gate) -> None:
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


def test_large_bodies_wait_for_each_other_and_small_ones_pass_them(gate: Gate) -> None:
    pool = make_pool(8, large_bytes=100)
    pool.submit(gate.job("a", "a 60", 60))
    pool.submit(gate.job("b", "b 60", 60))
    pool.submit(gate.job("c", "c 30", 30))  # behind b in line, although it would fit
    pool.submit(gate.job("c", "c small"))
    gate.wait_for(2)
    assert gate.started == ["a 60", "c small"]
    gate.open(4)
    assert set(gate.started[2:]) == {"b 60", "c 30"}


def test_a_body_larger_than_the_limit_runs_when_no_other_large_one_does(gate: Gate) -> None:
    pool = make_pool(8, large_bytes=100)
    pool.submit(gate.job("a", "huge", 1000))
    gate.wait_for(1)
    gate.open(1)


def test_a_full_pool_refuses(gate: Gate) -> None:
    pool = make_pool(1, waiting=2)
    pool.submit(gate.job("a"))
    gate.wait_for(1)
    for _ in range(2):
        pool.submit(gate.job("a"))
    with pytest.raises(PoolFullError):
        pool.submit(gate.job("a"))
    gate.open(3)


def test_idle_threads_end_and_start_again(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "IDLE_SECONDS", 0.05)
    pool = make_pool(8)
    for number in range(8):
        pool.submit(gate.job(str(number)))
    gate.open(8)
    wait_until(lambda: pool.thread_count == 0, what="the end of idle threads")
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
    wait_until(lambda: pool.thread_count == 0, what="the end of idle threads")
