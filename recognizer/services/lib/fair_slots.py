"""Pool of slots that limits the share of each caller, so that one caller cannot exclude the others.

Dynamic threshold (Choudhury and Hahne, IEEE/ACM Trans. Networking 6, 1998): a caller that holds slots may hold at most
three times what is still free. So a single caller gets three quarters of the pool, and n greedy callers leave 1/(1+3n)
of it. A caller that holds nothing may take any free slot.

A pool may have a wait queue. Each free slot goes to the waiting caller that holds the least, and among equals to the
one with the least recent use: a caller whose requests take 1 s is served less often than one whose requests take
10 ms. Each waiting request occupies a thread, so the queue is bounded. When it is full, the caller with the most
tickets loses its newest waiting ticket to a caller that has at least two fewer.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from .errors import BusyError
from .process_share import per_process

# A caller that already holds slots may hold up to this many times what would still be free.
SHARE_OF_FREE = 3
# Half-life of the recent use of a caller, so that heavy use has an effect for a limited time.
HALF_LIFE_SECONDS = 10.0
# Callers whose recent use differs by less are served in FIFO order.
USE_STEP_SECONDS = 0.05


class TicketState(Enum):
    """State of a request for a slot."""

    WAITING = auto()
    GRANTED = auto()
    REFUSED = auto()


@dataclass(slots=True, eq=False)
class _Caller:
    """The tickets and the recent use of one caller.

    Attributes:
        key: the key under which the share is accounted.
        held_weight: the total weight of its granted tickets.
        granted_count: the number of its granted tickets.
        waiting: its waiting tickets, oldest first.
        used_seconds: its use until `used_at`, decayed to that time.
        used_at: the end of its last use.
    """

    key: str
    held_weight: int = 0
    granted_count: int = 0
    waiting: deque["Ticket"] = field(default_factory=deque)
    used_seconds: float = 0.0
    used_at: float = 0.0

    @property
    def ticket_count(self) -> int:
        return self.granted_count + len(self.waiting)

    def add_use(self, seconds: float, now: float) -> None:
        """Add the time for which a slot was held."""
        self.used_seconds = self._decayed_use(now) + seconds
        self.used_at = now

    def recent_use(self, now: float) -> int:
        """Return the exponentially decayed use, in steps of USE_STEP_SECONDS."""
        return int(self._decayed_use(now) / USE_STEP_SECONDS)

    def _decayed_use(self, now: float) -> float:
        return self.used_seconds * math.pow(0.5, (now - self.used_at) / HALF_LIFE_SECONDS)


@dataclass(slots=True, eq=False)
class Ticket:
    """A caller's request for a slot; `FairSlots.enter` returns it and `FairSlots.leave` takes it back.

    Attributes:
        caller: who requests the slot.
        weight: how much of the capacity the slot takes.
        number: position in the order of all requests.
        state: changed by the pool alone.
        granted_at: when it was granted.
        is_resolved: set when the ticket is granted or refused.
    """

    caller: _Caller
    weight: int
    number: int
    state: TicketState = TicketState.WAITING
    granted_at: float = 0.0
    is_resolved: threading.Event = field(default_factory=threading.Event)

    def resolve(self, state: TicketState) -> None:
        """Set the final state and wake the waiting thread. The caller holds the pool's lock."""
        self.state = state
        self.is_resolved.set()


class FairSlots:
    """A bounded pool that is shared fairly by callers; see the module. Thread-safe, without a background thread.

    Every operation takes time proportional to the number of callers that hold slots or wait.

    Args:
        capacity: the total weight that may be held at once in all web processes. Each has an equal share.
        max_waiting: the number of tickets that may wait at once in all web processes; 0: a request without a free slot
            is refused.
        busy: the message of `BusyError`, for the client.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        capacity: int,
        *,
        max_waiting: int = 0,
        busy: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity, self.max_waiting = per_process(capacity), per_process(max_waiting)
        self._busy, self._clock = busy, clock
        self._lock = threading.Lock()
        self._callers: dict[str, _Caller] = {}
        self._held_weight = self._waiting = self._number = 0

    @property
    def free(self) -> int:
        """The weight that is not held."""
        return self.capacity - self._held_weight

    @property
    def waiting(self) -> int:
        """The number of waiting tickets."""
        return self._waiting

    @contextmanager
    def slot(self, caller: str, *, weight: int = 1, seconds: float = 0) -> Iterator[None]:
        """Hold a slot while the context lasts.

        Args:
            caller: the key under which the share is accounted (`Actor.caller_key`).
            weight: how much of the capacity the slot takes.
            seconds: how long to wait for it at most.

        Raises:
            BusyError: there was no slot within that time, the wait queue is full, or a caller with fewer tickets
                displaced this one from it.
        """
        ticket = self.enter(caller, weight=weight)
        try:
            ticket.is_resolved.wait(seconds)
            if ticket.state is not TicketState.GRANTED:
                raise BusyError(self._busy)
            yield
        finally:
            self.leave(ticket)

    @contextmanager
    def slots(self, callers: Sequence[str]) -> Iterator[list[bool]]:
        """Hold one slot for each caller for which one is free; does not wait.

        Args:
            callers: a key for each requested slot; keys may repeat.

        Yields:
            For each of them whether it has a slot.
        """
        tickets = [self.enter(caller, may_wait=False) for caller in callers]
        try:
            yield [ticket.state is TicketState.GRANTED for ticket in tickets]
        finally:
            for ticket in tickets:
                self.leave(ticket)

    def enter(self, key: str, *, weight: int = 1, may_wait: bool = True) -> Ticket:
        """Request a slot. Pass every ticket to `leave` afterwards.

        Args:
            key: the key under which the share is accounted.
            weight: how much of the capacity the slot takes.
            may_wait: whether the ticket may wait, if the pool has a wait queue.

        Returns:
            The ticket; granted, waiting or refused.

        Raises:
            ValueError: the weight exceeds the capacity.
        """
        if not 0 < weight <= self.capacity:
            raise ValueError(f"A weight of {weight} does not fit into a capacity of {self.capacity}.")
        with self._lock:
            caller = self._callers.setdefault(key, _Caller(key))
            self._number += 1
            ticket = Ticket(caller, weight, self._number)
            if not self._waiting and self._fits(ticket) and self._is_within_share(ticket):
                self._take(ticket)
            elif not (may_wait and self.max_waiting):
                self._refuse(ticket)
            else:
                caller.waiting.append(ticket)
                self._waiting += 1
                self._grant()
                if ticket.state is TicketState.WAITING and self._waiting > self.max_waiting:
                    self._displace(ticket)
            return ticket

    def leave(self, ticket: Ticket) -> None:
        """Release a slot, or stop waiting for it. Does nothing for a refused ticket."""
        with self._lock:
            caller = ticket.caller
            if ticket.state is TicketState.WAITING:
                self._withdraw(ticket)
            elif ticket.state is TicketState.GRANTED:
                ticket.state = TicketState.REFUSED
                self._held_weight -= ticket.weight
                caller.held_weight -= ticket.weight
                caller.granted_count -= 1
                now = self._clock()
                if self.max_waiting:  # without a wait queue, recent use has no effect
                    caller.add_use(now - ticket.granted_at, now)
                if not caller.ticket_count:
                    self._forget_idle_callers(now)
            self._grant()

    # The methods below require that the caller holds the lock.

    def _grant(self) -> None:
        """Grant free slots to waiting tickets in order.

        The first ticket that is within its share is never skipped, even if a later one would fit: otherwise a ticket
        of a large weight could wait forever.
        """
        while self._waiting:
            heads = [caller.waiting[0] for caller in self._callers.values() if caller.waiting]
            entitled = [ticket for ticket in heads if self._is_within_share(ticket)]
            if not entitled:
                return
            now = self._clock()
            ticket = min(entitled, key=lambda head: (head.caller.held_weight, head.caller.recent_use(now), head.number))
            if not self._fits(ticket):
                return
            ticket.caller.waiting.popleft()
            self._waiting -= 1
            self._take(ticket)

    def _take(self, ticket: Ticket) -> None:
        caller = ticket.caller
        self._held_weight += ticket.weight
        caller.held_weight += ticket.weight
        caller.granted_count += 1
        ticket.granted_at = self._clock()
        ticket.resolve(TicketState.GRANTED)

    def _fits(self, ticket: Ticket) -> bool:
        return self._held_weight + ticket.weight <= self.capacity

    def _is_within_share(self, ticket: Ticket) -> bool:
        held_weight = ticket.caller.held_weight
        return not held_weight or held_weight + ticket.weight <= SHARE_OF_FREE * (self.free - ticket.weight)

    def _displace(self, newcomer: Ticket) -> None:
        """Withdraw a ticket from the full wait queue: the newest of the caller with the most tickets.

        The newcomer itself is withdrawn unless its caller still has fewer tickets afterwards: otherwise two greedy
        callers would displace each other in turn.
        """
        waiting = [caller for caller in self._callers.values() if caller.waiting]
        now = self._clock()
        greediest = max(waiting, key=lambda caller: (caller.ticket_count, caller.recent_use(now)))
        is_greedier = greediest.ticket_count > newcomer.caller.ticket_count
        ticket = greediest.waiting[-1] if is_greedier else newcomer
        self._withdraw(ticket)
        self._grant()

    def _withdraw(self, ticket: Ticket) -> None:
        ticket.caller.waiting.remove(ticket)
        self._waiting -= 1
        self._refuse(ticket)

    def _refuse(self, ticket: Ticket) -> None:
        ticket.resolve(TicketState.REFUSED)
        if not ticket.caller.ticket_count:
            self._forget_idle_callers(self._clock())

    def _forget_idle_callers(self, now: float) -> None:
        """Delete callers without tickets and without recent use."""
        if not self._held_weight and not self._waiting:
            self._callers.clear()  # no caller had to wait, so their recent use does not matter
            return
        idle = [caller for caller in self._callers.values() if not caller.ticket_count and not caller.recent_use(now)]
        for caller in idle:
            del self._callers[caller.key]
