"""Limits on buffered bytes, in total and per caller."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitsite.server.byte_budget import BudgetExceededError, ByteBudget


def test_single_caller_may_use_everything_except_the_reserve() -> None:
    budget = ByteBudget(100)
    budget.reserve("greedy", 75)
    with pytest.raises(BudgetExceededError):
        budget.reserve("greedy", 1)
    budget.reserve("other", 25)
    assert budget.used == 100


def test_reserve_provides_an_equal_share_for_each_caller() -> None:
    budget = ByteBudget(90)
    budget.reserve("greedy", 67)
    budget.reserve("second", 10)
    with pytest.raises(BudgetExceededError):
        budget.reserve("second", 40)
    budget.reserve("third", 13)


def test_released_bytes_can_be_reserved_again() -> None:
    budget = ByteBudget(100)
    budget.reserve("a", 75)
    budget.release("a", 75)
    budget.reserve("b", 75)
    assert budget.used == 75


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60), st.booleans())))
def test_capacity_is_never_exceeded_and_all_bytes_are_released(steps: list[tuple[str, int, bool]]) -> None:
    budget, reservations = ByteBudget(100), []
    for caller, size, is_release in steps:
        if is_release and reservations:
            budget.release(*reservations.pop())
            continue
        try:
            budget.reserve(caller, size)
        except BudgetExceededError:
            continue
        reservations.append((caller, size))
        assert budget.used == sum(size for _, size in reservations) <= 100
    for caller, size in reservations:
        budget.release(caller, size)
    assert budget.used == 0
    budget.reserve("d", 75)
