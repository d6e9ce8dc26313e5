"""What many want at the same moment is done for all together; what began before somebody came is not for them."""

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from digitsite.testing.site import wait_until
from recognizer.services.lib.gathering import Gathering, LetGo


class Doing:
    """An act that is slow as long as the test wants, and remembers what it was given."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.is_going_on, self.may_end = threading.Event(), threading.Event()
        self.gathering: Gathering[int] = Gathering(self)

    def __call__(self, things: Sequence[int]) -> None:
        self.calls.append(list(things))
        self.is_going_on.set()
        assert self.may_end.wait(10)


def test_whoever_comes_meanwhile_is_served_by_the_next_act_with_all_others():
    doing = Doing()
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(doing.gathering.bring, 0)
        assert doing.is_going_on.wait(10)
        others = [pool.submit(doing.gathering.bring, number) for number in range(1, 20)]
        wait_until(lambda: len(doing.gathering._waiting) == 19)
        # The first act began before they came.
        assert not any(one.done() for one in others)
        doing.may_end.set()
        for one in (first, *others):
            one.result(10)
    assert len(doing.calls) == 2
    assert doing.calls[0] == [0]
    assert sorted(doing.calls[1]) == list(range(1, 20))


def test_of_more_than_are_served_at_a_time_those_who_came_first_come_first():
    doing = Doing()
    doing.gathering = Gathering(doing, max_batch_size=4)
    with ThreadPoolExecutor(11) as pool:
        first = pool.submit(doing.gathering.bring, 0)
        assert doing.is_going_on.wait(10)
        others = []
        for number in range(1, 11):
            others.append(pool.submit(doing.gathering.bring, number))
            wait_until(lambda: len(doing.gathering._waiting) == len(others))
        doing.may_end.set()
        for one in (first, *others):
            one.result(10)
    assert doing.calls == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_a_lone_one_is_served_at_once_and_by_itself():
    doing = Doing()
    doing.may_end.set()
    for number in range(3):
        doing.gathering.bring(number)
    assert doing.calls == [[0], [1], [2]]


def test_while_some_wait_for_what_follows_the_next_ones_act_already():
    done: list[int] = []
    second_is_done, waits = threading.Event(), threading.Event()

    def act(things: Sequence[int]) -> None:
        done.extend(things)
        if 2 in things:
            second_is_done.set()

    def follow(things: Sequence[int], _let_go: LetGo[int]) -> None:
        if 1 in things:
            waits.set()
            assert second_is_done.wait(10)

    gathering: Gathering[int] = Gathering(act, then=follow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gathering.bring, 1)
        assert waits.wait(10)
        assert not first.done()
        pool.submit(gathering.bring, 2).result(10)
        first.result(10)
    assert done == [1, 2]


def test_some_go_while_the_one_who_leads_waits_for_the_others():
    doing, following = Doing(), Doing()
    doing.may_end.set()

    def follow(things: Sequence[int], let_go: LetGo[int]) -> None:
        let_go([thing for thing in things if thing % 2])
        following(things)

    doing.gathering = Gathering(doing, then=follow)
    doing.may_end.clear()
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(doing.gathering.bring, 0)
        assert doing.is_going_on.wait(10)
        others = {number: pool.submit(doing.gathering.bring, number) for number in (2, 3, 4, 5)}
        wait_until(lambda: len(doing.gathering._waiting) == 4)
        # Whoever came first leads the next act; it is made an even one.
        doing.gathering._waiting.sort(key=lambda place: place.item)
        doing.may_end.set()
        for number in (3, 5):
            others[number].result(10)
        assert not any(one.done() for one in (first, others[2], others[4]))
        following.may_end.set()
        for one in (first, others[2], others[4]):
            one.result(10)
    assert following.calls == [[0], [2, 3, 4, 5]]


def test_what_fails_afterwards_is_told_to_those_alone_who_waited_for_it():
    def follow(things: Sequence[int], _let_go: LetGo[int]) -> None:
        if 1 in things:
            raise OSError(5, "it is broken")

    gathering: Gathering[int] = Gathering(lambda _things: None, then=follow)
    with pytest.raises(OSError, match="broken"):
        gathering.bring(1)
    gathering.bring(2)


def test_an_act_that_fails_tells_everybody_whom_it_was_for_and_the_next_one_works():
    broken = True

    def act(_things: Sequence[int]) -> None:
        if broken:
            raise OSError(5, "it is broken")

    gathering: Gathering[int] = Gathering(act)
    with ThreadPoolExecutor(8) as pool:
        for one in [pool.submit(gathering.bring, number) for number in range(8)]:
            with pytest.raises(OSError, match="broken"):
                one.result(10)
    broken = False
    gathering.bring(1)


@pytest.mark.parametrize("most", [sys.maxsize, 3])
def test_of_thousands_from_many_threads_none_is_forgotten_and_none_done_twice(most):
    done: list[int] = []
    gathering: Gathering[int] = Gathering(done.extend, max_batch_size=most)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(gathering.bring, range(4000)))
    assert sorted(done) == list(range(4000))
