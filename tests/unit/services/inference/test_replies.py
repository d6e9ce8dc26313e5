"""Reply inbox: one thread pops the list for all waiting threads of the process."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue

import pytest
import redis

from digitsite.testing.site import wait_until
from recognizer.services.inference.handoff.replies import Replies


class List:
    """Stands in for the Redis list, so that a test controls when items arrive and which thread pops."""

    def __init__(self) -> None:
        self._items: SimpleQueue[Sequence[bytes] | Exception] = SimpleQueue()
        self.asked_by: list[int] = []
        self.asking = 0

    def pop(self, address: str, seconds: float) -> Sequence[bytes]:
        assert address.startswith("replies:")
        self.asked_by.append(threading.get_ident())
        self.asking += 1
        assert self.asking == 1, "two threads ask at once"
        try:
            came = self._items.get(timeout=seconds)
        except Empty:
            return ()
        finally:
            self.asking -= 1
        if isinstance(came, Exception):
            raise came
        return came

    def bring(self, *items: bytes) -> None:
        self._items.put(items)

    def fail(self) -> None:
        self._items.put(redis.ConnectionError("gone"))


@pytest.fixture
def items() -> List:
    return List()


@pytest.fixture
def replies(items: List) -> Replies:
    return Replies(items.pop)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


def wait(pool: ThreadPoolExecutor, replies: Replies, *keys: bytes, seconds: float = 10) -> Future:
    """Start a thread that collects replies, and return once it waits."""
    replies.expect(keys)
    future = pool.submit(replies.collect, keys, time.monotonic() + seconds)
    wait_until(lambda: all(key in replies._waiting for key in keys))
    return future


def test_single_waiter_pops_its_own_reply(replies, items):
    replies.expect([b"1"])
    items.bring(b"1 a seven, it says")
    assert replies.collect([b"1"], time.monotonic() + 10) == {b"1": b"a seven, it says"}
    assert items.asked_by == [threading.get_ident()]


def test_leader_pops_for_all_and_wakes_only_complete_waiters(pool, replies, items):
    leader, second, third = wait(pool, replies, b"1"), wait(pool, replies, b"2"), wait(pool, replies, b"3", b"4")
    items.bring(b"2 b", b"3 c")
    assert second.result(10) == {b"2": b"b"}
    assert len(set(items.asked_by)) == 1
    assert not leader.done()
    assert not third.done()
    items.bring(b"1 a")
    assert leader.result(10) == {b"1": b"a"}
    items.bring(b"4 d")
    assert third.result(10) == {b"3": b"c", b"4": b"d"}
    assert len(set(items.asked_by)) == 2


def test_lead_passes_on_when_leader_is_complete(pool, replies, items):
    waiting = {key: wait(pool, replies, key) for key in (b"1", b"2", b"3")}
    for key, future in waiting.items():
        items.bring(key + b" x")
        assert future.result(10) == {key: b"x"}
    assert len(set(items.asked_by)) > 1


def test_lead_passes_on_when_leader_times_out(pool, replies, items):
    leader, other = wait(pool, replies, b"1", seconds=0.1), wait(pool, replies, b"2")
    assert leader.result(10) == {}
    items.bring(b"1 too late", b"2 b")
    assert other.result(10) == {b"2": b"b"}


def test_follower_times_out_with_replies_so_far(pool, replies, items):
    leader, other = wait(pool, replies, b"1"), wait(pool, replies, b"2", b"3", seconds=0.3)
    items.bring(b"2 b")
    assert other.result(10) == {b"2": b"b"}
    items.bring(b"1 a")
    assert leader.result(10) == {b"1": b"a"}


def test_early_reply_is_kept(pool, replies, items):
    replies.expect([b"2"])
    leader = wait(pool, replies, b"1")
    items.bring(b"2 early", b"1 a")
    leader.result(10)
    assert replies.collect([b"2"], time.monotonic() + 10) == {b"2": b"early"}
    assert len(items.asked_by) == 1


def test_unexpected_reply_is_dropped(replies, items):
    replies.expect([b"1"])
    assert replies.collect([b"1"], time.monotonic() + 0.01) == {}
    assert not replies.expects(b"1")
    replies.expect([b"2"])
    items.bring(b"1 late", b"2 b")
    assert replies.collect([b"2"], time.monotonic() + 10) == {b"2": b"b"}
    assert not replies._expected
    assert not replies._waiting


def test_uncollected_replies_expire(replies, monkeypatch):
    replies.expect([b"1", b"2"])
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 41)
    replies.expect([b"3"])
    assert [replies.expects(key) for key in (b"1", b"2", b"3")] == [False, False, True]


def test_redis_error_releases_all_waiters(pool, replies, items):
    leader, followers = wait(pool, replies, b"1"), [wait(pool, replies, b"%d" % number) for number in range(2, 6)]
    items.fail()
    with pytest.raises(redis.ConnectionError, match="gone"):
        leader.result(10)
    assert [second.result(10) for second in followers] == [{}] * 4
    assert len(items.asked_by) == 1
    later = wait(pool, replies, b"7")
    items.bring(b"7 there again")
    assert later.result(10) == {b"7": b"there again"}


def test_each_of_many_threads_gets_its_own_replies(pool, replies, items):
    def send_and_wait(first: int) -> None:
        for number in range(first, first + 100):
            key = b"%d" % number
            replies.expect([key])
            items.bring(key + b" " + key)
            assert replies.collect([key], time.monotonic() + 10) == {key: key}

    for future in [pool.submit(send_and_wait, thread * 100) for thread in range(20)]:
        future.result(60)
    assert not replies._waiting
    assert not replies._followers
    assert replies._leader is None
