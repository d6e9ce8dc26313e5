"""Group commit: concurrent calls share a batch, and calls that arrive during a batch form the next one."""

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from digitsite.testing.site import wait_until
from recognizer.services.lib.gathering import Gathering, LetGo


class BlockingBatch:
    """Batch function that records its items and blocks until the test releases it."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.is_running, self.may_end = threading.Event(), threading.Event()
        self.gathering: Gathering[int] = Gathering(self)

    def __call__(self, items: Sequence[int]) -> None:
        self.calls.append(list(items))
        self.is_running.set()
        assert self.may_end.wait(10)


def test_callers_that_arrive_during_a_batch_share_the_next_one():
    batch = BlockingBatch()
    with ThreadPoolExecutor(20) as pool:
        leader = pool.submit(batch.gathering.bring, 0)
        assert batch.is_running.wait(10)
        followers = [pool.submit(batch.gathering.bring, number) for number in range(1, 20)]
        wait_until(lambda: len(batch.gathering._waiting) == 19)
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
    batch.gathering = Gathering(batch, max_batch_size=4)
    with ThreadPoolExecutor(11) as pool:
        leader = pool.submit(batch.gathering.bring, 0)
        assert batch.is_running.wait(10)
        followers = []
        for number in range(1, 11):
            followers.append(pool.submit(batch.gathering.bring, number))
            wait_until(lambda: len(batch.gathering._waiting) == len(followers))
        batch.may_end.set()
        for future in (leader, *followers):
            future.result(10)
    assert batch.calls == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_single_caller_runs_its_own_batch_immediately():
    batch = BlockingBatch()
    batch.may_end.set()
    for number in range(3):
        batch.gathering.bring(number)
    assert batch.calls == [[0], [1], [2]]


def test_next_batch_runs_while_the_previous_one_is_in_its_second_step():
    done: list[int] = []
    is_second_done, is_waiting = threading.Event(), threading.Event()

    def act(items: Sequence[int]) -> None:
        done.extend(items)
        if 2 in items:
            is_second_done.set()

    def then(items: Sequence[int], _let_go: LetGo[int]) -> None:
        if 1 in items:
            is_waiting.set()
            assert is_second_done.wait(10)

    gathering: Gathering[int] = Gathering(act, then=then)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gathering.bring, 1)
        assert is_waiting.wait(10)
        assert not first.done()
        pool.submit(gathering.bring, 2).result(10)
        first.result(10)
    assert done == [1, 2]


def test_second_step_can_release_some_callers_before_the_others():
    batch, second_step = BlockingBatch(), BlockingBatch()
    batch.may_end.set()

    def then(items: Sequence[int], let_go: LetGo[int]) -> None:
        let_go([item for item in items if item % 2])
        second_step(items)

    batch.gathering = Gathering(batch, then=then)
    batch.may_end.clear()
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(batch.gathering.bring, 0)
        assert batch.is_running.wait(10)
        followers = {number: pool.submit(batch.gathering.bring, number) for number in (2, 3, 4, 5)}
        wait_until(lambda: len(batch.gathering._waiting) == 4)
        # The head of the queue leads the next batch; sorting makes it an even number, which is not released early.
        batch.gathering._waiting.sort(key=lambda place: place.item)
        batch.may_end.set()
        for number in (3, 5):
            followers[number].result(10)
        assert not any(future.done() for future in (first, followers[2], followers[4]))
        second_step.may_end.set()
        for future in (first, followers[2], followers[4]):
            future.result(10)
    assert second_step.calls == [[0], [2, 3, 4, 5]]


def test_error_of_the_second_step_reaches_only_its_own_batch():
    def then(items: Sequence[int], _let_go: LetGo[int]) -> None:
        if 1 in items:
            raise OSError(5, "it is broken")

    gathering: Gathering[int] = Gathering(lambda _items: None, then=then)
    with pytest.raises(OSError, match="broken"):
        gathering.bring(1)
    gathering.bring(2)


def test_error_of_a_batch_reaches_all_of_its_callers_and_the_next_batch_runs():
    is_broken = True

    def act(_items: Sequence[int]) -> None:
        if is_broken:
            raise OSError(5, "it is broken")

    gathering: Gathering[int] = Gathering(act)
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(gathering.bring, number) for number in range(8)]:
            with pytest.raises(OSError, match="broken"):
                future.result(10)
    is_broken = False
    gathering.bring(1)


@pytest.mark.parametrize("max_batch_size", [sys.maxsize, 3])
def test_thousands_of_items_from_many_threads_are_executed_exactly_once(max_batch_size):
    done: list[int] = []
    gathering: Gathering[int] = Gathering(done.extend, max_batch_size=max_batch_size)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(gathering.bring, range(4000)))
    assert sorted(done) == list(range(4000))
