"""Group commit: concurrent calls share a batch, and calls that arrive during a batch form the next one."""

import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from digitsite.testing.site import wait_until
from recognizer.services.lib.group_commit import GroupCommit


class BlockingBatch:
    """Batch function that records its items and blocks until the test releases it."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.is_running, self.may_end = threading.Event(), threading.Event()
        self.group: GroupCommit[int] = GroupCommit(self)

    def __call__(self, items: Sequence[int]) -> None:
        self.calls.append(list(items))
        self.is_running.set()
        assert self.may_end.wait(10)


def test_callers_that_arrive_during_a_batch_share_the_next_one():
    batch = BlockingBatch()
    with ThreadPoolExecutor(20) as pool:
        leader = pool.submit(batch.group.submit, 0)
        assert batch.is_running.wait(10)
        followers = [pool.submit(batch.group.submit, number) for number in range(1, 20)]
        wait_until(lambda: batch.group.queue_length == 19)
        # The first batch began before they arrived.
        assert not any(future.done() for future in followers)
        batch.may_end.set()
        for future in (leader, *followers):
            future.result(10)
    assert len(batch.calls) == 2
    assert batch.calls[0] == [0]
    assert sorted(batch.calls[1]) == list(range(1, 20))


def test_batches_are_served_in_fifo_order_up_to_the_maximum_size():
    batch = BlockingBatch()
    batch.group = GroupCommit(batch, max_batch_size=4)
    with ThreadPoolExecutor(11) as pool:
        leader = pool.submit(batch.group.submit, 0)
        assert batch.is_running.wait(10)
        followers = []
        for number in range(1, 11):
            followers.append(pool.submit(batch.group.submit, number))
            wait_until(lambda: batch.group.queue_length == len(followers))
        batch.may_end.set()
        for future in (leader, *followers):
            future.result(10)
    assert batch.calls == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_single_caller_runs_its_own_batch_immediately():
    batch = BlockingBatch()
    batch.may_end.set()
    for number in range(3):
        batch.group.submit(number)
    assert batch.calls == [[0], [1], [2]]


def test_next_batch_runs_while_the_previous_one_completes():
    done: list[int] = []
    is_second_done, is_waiting = threading.Event(), threading.Event()

    def execute(items: Sequence[int]) -> None:
        done.extend(items)
        if 2 in items:
            is_second_done.set()

    def on_complete(items: Sequence[int]) -> Iterator[Sequence[int]]:
        yield ()
        if 1 in items:
            is_waiting.set()
            assert is_second_done.wait(10)

    group: GroupCommit[int] = GroupCommit(execute, on_complete)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(group.submit, 1)
        assert is_waiting.wait(10)
        assert not first.done()
        pool.submit(group.submit, 2).result(10)
        first.result(10)
    assert done == [1, 2]


def test_some_callers_return_before_the_batch_has_completed():
    batch, completion = BlockingBatch(), BlockingBatch()

    def on_complete(items: Sequence[int]) -> Iterator[Sequence[int]]:
        yield [item for item in items if item % 2]
        completion(items)

    batch.group = GroupCommit(batch, on_complete)
    with ThreadPoolExecutor(5) as pool:
        leaders_first = []
        for number in (0, 2, 3, 4, 5):
            leaders_first.append(pool.submit(batch.group.submit, number))
            assert batch.is_running.wait(10)
            wait_until(lambda: batch.group.queue_length == len(leaders_first) - 1)
        first, second, third, fourth, fifth = leaders_first
        batch.may_end.set()
        for odd in (third, fifth):
            odd.result(10)
        assert not any(future.done() for future in (first, second, fourth))
        completion.may_end.set()
        for even in (first, second, fourth):
            even.result(10)
    assert sorted(completion.calls) == [[0], [2, 3, 4, 5]]


def test_error_of_the_completion_reaches_only_its_own_batch():
    def on_complete(items: Sequence[int]) -> Iterator[Sequence[int]]:
        yield ()
        if 1 in items:
            raise OSError(5, "it is broken")

    group: GroupCommit[int] = GroupCommit(lambda _items: None, on_complete)
    with pytest.raises(OSError, match="broken"):
        group.submit(1)
    group.submit(2)


def test_error_of_a_batch_reaches_all_of_its_callers_and_the_next_batch_runs():
    is_broken = True

    def execute(_items: Sequence[int]) -> None:
        if is_broken:
            raise OSError(5, "it is broken")

    group: GroupCommit[int] = GroupCommit(execute)
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(group.submit, number) for number in range(8)]:
            with pytest.raises(OSError, match="broken"):
                future.result(10)
    is_broken = False
    group.submit(1)


@pytest.mark.parametrize("max_batch_size", [sys.maxsize, 3])
def test_thousands_of_items_from_many_threads_are_executed_exactly_once(max_batch_size):
    done: list[int] = []
    group: GroupCommit[int] = GroupCommit(done.extend, max_batch_size=max_batch_size)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(group.submit, range(4000)))
    assert sorted(done) == list(range(4000))
