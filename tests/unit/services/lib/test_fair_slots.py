"""Fair slots: never over capacity, never idle while a caller waits, and no caller can exclude the others."""

import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.services.lib.errors import BusyError
from recognizer.services.lib.fair_slots import FairSlots, Ticket, TicketState

pytestmark = [pytest.mark.sqlite_only]

WAITING, GRANTED, REFUSED = TicketState


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def enter_until_refused(slots: FairSlots, caller: str) -> list[Ticket]:
    tickets = []
    while (ticket := slots.enter(caller)).state is GRANTED:
        tickets.append(ticket)
    return tickets


# --- Shares without a wait queue ---


@pytest.mark.parametrize(("capacity", "max_slots"), [(48, 36), (16, 12), (8, 6), (4, 3), (3, 2), (2, 1), (1, 1)])
def test_one_caller_alone_holds_three_quarters(capacity: int, max_slots: int):
    assert len(enter_until_refused(FairSlots(capacity), "greedy")) == max_slots


def test_eight_greedy_callers_leave_slots_for_a_ninth():
    slots = FairSlots(48)
    granted_counts = Counter()
    for _ in range(60):
        for number in range(8):
            granted_counts[number] += slots.enter(f"attacker {number}").state is GRANTED
    assert min(granted_counts.values()) >= 5
    assert slots.enter("honest").state is GRANTED


def test_slots_are_granted_to_each_of_several_callers_if_free():
    slots = FairSlots(4)
    with slots.slots(["a", "a", "a", "a", "b", "b"]) as granted:
        assert granted == [True, True, True, False, True, False]
        assert not slots.free
    assert slots.free == 4


def test_slot_is_released_when_its_holder_raises():
    slots = FairSlots(1, busy="Please wait.")
    with pytest.raises(ZeroDivisionError), slots.slot("a"):
        _ = 1 / 0
    with slots.slot("a"), pytest.raises(BusyError, match=r"Please wait\."), slots.slot("b"):
        pass
    assert slots.free == 1


def test_weight_above_the_capacity_is_an_error():
    with pytest.raises(ValueError, match="capacity of 3"):
        FairSlots(3).enter("a", weight=4)


# --- Wait queue ---


def test_the_next_slot_goes_to_the_caller_that_holds_the_least():
    slots = FairSlots(8, max_waiting=8)
    tickets = enter_until_refused(slots, "a")
    granted = [slots.enter(caller) for caller in ("b", "c")]
    assert not slots.free
    waiting = [slots.enter(caller) for caller in ("a", "b", "d")]
    slots.leave(tickets[0])
    assert [ticket.state for ticket in waiting] == [WAITING, WAITING, GRANTED]
    slots.leave(tickets[1])
    slots.leave(tickets[2])
    assert [ticket.state for ticket in (*granted, *waiting)] == [GRANTED, GRANTED, WAITING, GRANTED, GRANTED]


def test_caller_with_long_requests_is_served_less_often():
    clock = Clock()
    slots = FairSlots(1, max_waiting=8, clock=clock)
    seconds = {"long": 1.0, "short": 0.1}
    served = Counter()
    queued = {caller: [slots.enter(caller), slots.enter(caller)] for caller in seconds}
    while clock.now < 100:
        [caller] = [caller for caller, tickets in queued.items() if tickets[0].state is GRANTED]
        clock.now += seconds[caller]
        served[caller] += 1
        slots.leave(queued[caller].pop(0))
        queued[caller].append(slots.enter(caller))
    assert served["long"] * 1.0 == pytest.approx(served["short"] * 0.1, rel=0.1)


def test_occasional_caller_is_served_next():
    """Eight attackers always have two tickets of 0.7 s each; a ninth caller enters once a second."""
    clock = Clock()
    slots = FairSlots(1, max_waiting=16, clock=clock)
    queued = [slots.enter(f"attacker {number % 8}") for number in range(16)]
    served_before = []
    for _ in range(30):
        honest = slots.enter("honest")
        count = 0
        while honest.state is not GRANTED:
            [holder] = [ticket for ticket in queued if ticket.state is GRANTED]
            clock.now += 0.7
            queued.remove(holder)
            slots.leave(holder)
            queued.append(slots.enter(holder.caller.key))
            count += 1
        served_before.append(count)
        clock.now += 0.05
        slots.leave(honest)
    # The first time it is the last of nine callers with equal use.
    assert max(served_before[1:]) <= 1


def test_ticket_of_large_weight_is_granted_eventually():
    clock = Clock()
    slots = FairSlots(10, max_waiting=8, clock=clock)
    small = [slots.enter(caller, weight=4) for caller in ("a", "b")]
    large = slots.enter("c", weight=9)
    for _ in range(20):
        if large.state is GRANTED:
            return
        clock.now += 0.1
        oldest = next(ticket for ticket in small if ticket.state is GRANTED)
        small.remove(oldest)
        slots.leave(oldest)
        small.append(slots.enter(oldest.caller.key, weight=4))
    pytest.fail("the ticket of large weight is still waiting")


def test_full_queue_drops_the_newest_ticket_of_the_caller_with_the_most():
    slots = FairSlots(1, max_waiting=2)
    slots.enter("greedy")
    first, second = slots.enter("greedy"), slots.enter("greedy")
    assert slots.enter("greedy").state is REFUSED
    honest = slots.enter("honest")
    assert (first.state, second.state, honest.state) == (WAITING, REFUSED, WAITING)


def test_two_greedy_callers_do_not_displace_each_other_in_turn():
    slots = FairSlots(1, max_waiting=3)
    slots.enter("a")
    waiting = [slots.enter(caller) for caller in ("a", "b", "b")]
    assert slots.enter("a").state is REFUSED
    assert [ticket.state for ticket in waiting] == [WAITING] * 3


def test_waiting_thread_continues_as_soon_as_a_slot_is_free():
    slots = FairSlots(1, max_waiting=1)
    ticket = slots.enter("a")
    is_served = threading.Event()

    def work() -> None:
        with slots.slot("b", seconds=30):
            is_served.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not slots.waiting:
        assert not is_served.wait(0.001)
    slots.leave(ticket)
    assert is_served.wait(10)
    thread.join(10)
    assert slots.free == 1


def test_timeout_raises_busy_error_and_leaves_no_ticket():
    slots = FairSlots(1, max_waiting=1)
    with slots.slot("a"):
        with pytest.raises(BusyError), slots.slot("b", seconds=0.01):
            pass
        assert not slots.waiting
    assert slots.free == 1


def test_withdrawn_ticket_no_longer_blocks_later_tickets():
    slots = FairSlots(10, max_waiting=2)
    slots.enter("a", weight=5)
    large, small = slots.enter("b", weight=10), slots.enter("c", weight=5)
    assert small.state is WAITING
    slots.leave(large)
    assert small.state is GRANTED


# --- Properties under random operations ---

CALLERS = st.sampled_from("abcde")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), CALLERS, st.integers(1, 6)),
        st.tuples(st.just("leave"), st.integers(0, 50), st.floats(0, 3)),
    ),
    max_size=80,
)


def is_over_its_share(slots: FairSlots, ticket: Ticket) -> bool:
    return ticket.caller.held_weight > 0 and ticket.caller.held_weight + ticket.weight > 3 * (
        slots.free - ticket.weight
    )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(capacity=st.integers(6, 20), max_waiting=st.integers(0, 6), steps=STEPS)
def test_capacity_and_share_hold_and_no_slot_is_idle_while_a_caller_waits(capacity: int, max_waiting: int, steps: list):
    clock = Clock()
    slots = FairSlots(capacity, max_waiting=max_waiting, clock=clock)
    tickets: list[Ticket] = []
    for action, target, amount in steps:
        ticket_counts = Counter(ticket.caller.key for ticket in tickets)
        if action == "enter":
            tickets.append(slots.enter(target, weight=amount))
        elif tickets:
            clock.now += amount
            slots.leave(tickets.pop(target % len(tickets)))
        refused = [ticket for ticket in tickets if ticket.state is REFUSED]
        # A caller with a single ticket never loses it to another caller.
        assert all(ticket is tickets[-1] or ticket_counts[ticket.caller.key] > 1 for ticket in refused)
        tickets = [ticket for ticket in tickets if ticket.state is not REFUSED]

        held_weight = sum(ticket.weight for ticket in tickets if ticket.state is GRANTED)
        waiting = [ticket for ticket in tickets if ticket.state is WAITING]
        assert held_weight == capacity - slots.free <= capacity
        assert len(waiting) == slots.waiting <= max_waiting
        if waiting and all(ticket.weight == 1 for ticket in tickets):
            assert not slots.free or all(is_over_its_share(slots, ticket) for ticket in waiting)
        elif waiting:
            # Capacity stays free only for a ticket that does not fit yet.
            assert held_weight
            assert any(ticket.weight > slots.free or is_over_its_share(slots, ticket) for ticket in waiting)
    for ticket in tickets:
        slots.leave(ticket)
    assert (slots.free, slots.waiting) == (capacity, 0)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data(), weights=st.lists(st.integers(1, 8), min_size=5, max_size=5), weight=st.integers(1, 8))
def test_no_ticket_starves(data: st.DataObject, weights: list[int], weight: int):
    """Five other callers enter again whenever they release a slot, and hold slots for any time."""
    clock = Clock()
    slots = FairSlots(8, max_waiting=12, clock=clock)
    tickets = [slots.enter("abcde"[number % 5], weight=weights[number % 5]) for number in range(10)]
    lone = slots.enter("lone", weight=weight)
    for _ in range(60):
        if lone.state is GRANTED:
            return
        assert lone.state is WAITING
        granted = [ticket for ticket in tickets if ticket.state is GRANTED]
        ticket = data.draw(st.sampled_from(granted))
        clock.now += data.draw(st.floats(0.01, 1))
        tickets.remove(ticket)
        slots.leave(ticket)
        tickets.append(slots.enter(ticket.caller.key, weight=ticket.weight))
        tickets = [ticket for ticket in tickets if ticket.state is not REFUSED]
    pytest.fail("the ticket is still waiting")


def test_concurrent_threads_never_exceed_the_capacity():
    slots = FairSlots(4, max_waiting=60)
    lock, count, max_count = threading.Lock(), 0, 0

    def work(caller: str) -> None:
        nonlocal count, max_count
        for _ in range(100):
            with slots.slot(caller, seconds=30):
                with lock:
                    count += 1
                    max_count = max(max_count, count)
                with lock:
                    count -= 1

    threads = [threading.Thread(target=work, args=(f"caller {number % 5}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 1 <= max_count <= 4
    assert (slots.free, slots.waiting) == (4, 0)


def test_each_of_several_web_processes_has_an_equal_share(settings):
    settings.WEB_PROCESSES = 4
    slots = FairSlots(48, max_waiting=2)
    assert (slots.capacity, slots.max_waiting) == (12, 1)
    assert FairSlots(1).capacity == 1
    assert FairSlots(8).max_waiting == 0
