"""A pool of slots with a share for each caller, so that one caller cannot keep the others out.

The share binds only where others need it. One caller alone may hold three quarters of the pool, and the rest stays free
for the next one. Where several hold slots, each may hold at most three times what is still free ("dynamic threshold",
Choudhury and Hahne, IEEE/ACM Trans. Networking 6, 1998): n greedy callers leave 1/(1+3n) of the pool. A caller who
holds nothing may take whatever is free.

A pool may have a waiting room. Each free slot goes to the waiting caller that holds the least, and among those to the
one that has used the pool least lately: a caller whose work takes a second is served less often than one whose work
takes a hundredth of it. Waiting holds a thread, so the room is bounded; where it is full, the caller with the most
entries gives up its newest waiting one for a caller that has at least two fewer.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto

from .errors import BusyError

# A caller that holds slots already may hold this many times what would still be free.
SHARE_OF_FREE = 3
# Use counts half after this time: a caller that used much waits for a while and not forever.
HALF_LIFE_SECONDS = 10.0
# Callers whose use differs by less are served in the order in which they came.
USE_STEP_SECONDS = 0.05


class TicketState(Enum):
    """What became of a request for a slot."""

    WAITING = auto()
    GRANTED = auto()
    REFUSED = auto()


class _Caller:
    """One caller's account.

    Attributes:
        held: the weight of its granted tickets.
        granted: their number.
        waiting: its waiting tickets, oldest first.
    """

    __slots__ = ("_used", "_used_at", "granted", "held", "key", "waiting")

    def __init__(self, key: str) -> None:
        self.key = key
        self.held = self.granted = 0
        self.waiting: deque[Ticket] = deque()
        self._used = self._used_at = 0.0

    @property
    def entries(self) -> int:
        return self.granted + len(self.waiting)

    def use(self, seconds: float, now: float) -> None:
        """Add the time for which a slot was held."""
        self._used = self._used * self._decay(now) + seconds
        self._used_at = now

    def recent_use(self, now: float) -> int:
        """Return the use of late, in steps of USE_STEP_SECONDS."""
        return int(self._used * self._decay(now) / USE_STEP_SECONDS)

    def _decay(self, now: float) -> float:
        return 0.5 ** ((now - self._used_at) / HALF_LIFE_SECONDS)


class Ticket:
    """A caller's request for a slot; made by `FairSlots.enter` and given back to `FairSlots.leave`."""

    __slots__ = ("_gate", "caller", "granted_at", "number", "state", "weight")

    def __init__(self, caller: _Caller, weight: int, number: int) -> None:
        self.caller, self.weight, self.number = caller, weight, number
        self.state = TicketState.WAITING
        self.granted_at = 0.0
        self._gate: threading.Lock | None = None

    def settle(self, state: TicketState) -> None:
        """Set the state for good and wake the thread that waits. Called under the pool's lock."""
        self.state = state
        if self._gate is not None:
            self._gate.release()

    def block(self) -> None:
        """Make `wait` block until the ticket is settled. Called under the pool's lock."""
        self._gate = threading.Lock()
        self._gate.acquire()

    def wait(self, seconds: float) -> None:
        """Wait until the ticket is granted or refused, at most so long."""
        if self._gate is not None:
            self._gate.acquire(timeout=max(0.0, seconds))


class FairSlots:
    """A bounded pool that is shared fairly by callers; see the module. Thread-safe, without a thread of its own.

    Every operation takes time in proportion to the number of callers that hold slots or wait.

    Args:
        capacity: the total weight that may be held at once.
        max_waiting: tickets that may wait at once; 0: without a free slot a request is refused at once.
        busy: the message of `BusyError`, for the sender.
        clock: seconds; monotonic.
    """

    def __init__(
        self,
        capacity: int,
        *,
        max_waiting: int = 0,
        busy: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity, self.max_waiting = capacity, max_waiting
        self._busy, self._clock = busy, clock
        self._lock = threading.Lock()
        self._callers: dict[str, _Caller] = {}
        self._held = self._waiting = self._number = 0

    @property
    def free(self) -> int:
        """The weight that nobody holds."""
        return self.capacity - self._held

    @property
    def waiting(self) -> int:
        """How many tickets wait."""
        return self._waiting

    @contextmanager
    def slot(self, caller: str, *, weight: int = 1, seconds: float = 0) -> Iterator[None]:
        """Hold a slot while the context lasts.

        Args:
            caller: the key under which the share is accounted (`Actor.share_key`).
            weight: how much of the capacity is taken.
            seconds: how long to wait for it at most.

        Raises:
            BusyError: there was no slot within that time, the waiting room is full, or somebody with fewer entries
                took this one's place in it.
        """
        ticket = self.enter(caller, weight=weight)
        try:
            ticket.wait(seconds)
            if ticket.state is not TicketState.GRANTED and not self._is_granted(ticket):
                raise BusyError(self._busy)
            yield
        finally:
            self.leave(ticket)

    @contextmanager
    def slots(self, callers: Sequence[str]) -> Iterator[list[bool]]:
        """Hold one slot for each of the callers that finds one at once; nothing waits.

        Args:
            callers: a key for each slot that is asked for; the same one as often as it asks.

        Yields:
            For each of them whether it has its slot.
        """
        with self._lock:
            tickets = [self._enter(caller, 1, may_wait=False) for caller in callers]
        try:
            yield [ticket.state is TicketState.GRANTED for ticket in tickets]
        finally:
            with self._lock:
                for ticket in tickets:
                    self._leave(ticket)

    def enter(self, caller: str, *, weight: int = 1) -> Ticket:
        """Ask for a slot: granted, waiting or refused. Every ticket goes back by `leave`.

        Raises:
            ValueError: no pool of this capacity could ever grant it.
        """
        if not 0 < weight <= self.capacity:
            raise ValueError(f"A weight of {weight} does not fit into a capacity of {self.capacity}.")
        with self._lock:
            return self._enter(caller, weight, may_wait=True)

    def leave(self, ticket: Ticket) -> None:
        """Give back a slot, or stop waiting for it. A ticket that was refused has nothing to give back."""
        with self._lock:
            self._leave(ticket)

    # --- Under the lock ---------------------------------------------------------------------------------------------

    def _is_granted(self, ticket: Ticket) -> bool:
        """Whether it was granted in the moment in which its time ran out; otherwise it waits no longer."""
        with self._lock:
            if ticket.state is TicketState.WAITING:
                self._withdraw(ticket)
                self._grant()
            return ticket.state is TicketState.GRANTED

    def _enter(self, key: str, weight: int, *, may_wait: bool) -> Ticket:
        caller = self._callers.get(key)
        if caller is None:
            caller = self._callers[key] = _Caller(key)
        self._number += 1
        ticket = Ticket(caller, weight, self._number)
        if not self._waiting and self._fits(ticket) and self._is_within_share(ticket):
            self._take(ticket)
            return ticket
        if not (may_wait and self.max_waiting):
            self._refuse(ticket)
            return ticket
        caller.waiting.append(ticket)
        self._waiting += 1
        self._grant()
        if ticket.state is TicketState.WAITING and self._waiting > self.max_waiting:
            self._displace(ticket)
        if ticket.state is TicketState.WAITING:
            ticket.block()
        return ticket

    def _leave(self, ticket: Ticket) -> None:
        caller = ticket.caller
        if ticket.state is TicketState.GRANTED:
            ticket.state = TicketState.REFUSED
            self._held -= ticket.weight
            caller.held -= ticket.weight
            caller.granted -= 1
            if self.max_waiting:  # where nothing waits there is no order to keep
                now = self._clock()
                caller.use(now - ticket.granted_at, now)
                self._forget_idle_callers(now)
            elif not caller.entries:
                del self._callers[caller.key]
        elif ticket.state is TicketState.WAITING:
            self._withdraw(ticket)
        else:
            return
        if self._waiting:
            self._grant()

    def _grant(self) -> None:
        """Give what is free to those who wait, in their order.

        The first in the order that is within its share is never passed by: what needs much would wait forever for a
        moment in which as much is free.
        """
        while self._waiting:
            heads = [caller.waiting[0] for caller in self._callers.values() if caller.waiting]
            entitled = [ticket for ticket in heads if self._is_within_share(ticket)]
            if not entitled:
                return
            now = self._clock()
            ticket = min(entitled, key=lambda one: (one.caller.held, one.caller.recent_use(now), one.number))
            if not self._fits(ticket):
                return
            ticket.caller.waiting.popleft()
            self._waiting -= 1
            self._take(ticket)

    def _take(self, ticket: Ticket) -> None:
        caller = ticket.caller
        self._held += ticket.weight
        caller.held += ticket.weight
        caller.granted += 1
        ticket.granted_at = self._clock()
        ticket.settle(TicketState.GRANTED)

    def _fits(self, ticket: Ticket) -> bool:
        return self._held + ticket.weight <= self.capacity

    def _is_within_share(self, ticket: Ticket) -> bool:
        held = ticket.caller.held
        return not held or held + ticket.weight <= SHARE_OF_FREE * (self.free - ticket.weight)

    def _displace(self, newcomer: Ticket) -> None:
        """Make room in the full waiting room: the caller with the most entries gives up its newest waiting ticket.

        Only for a caller that has fewer afterwards still, or two greedy ones would push each other out in turn.
        """
        waiting = [caller for caller in self._callers.values() if caller.waiting]
        now = self._clock()
        greediest = max(waiting, key=lambda caller: (caller.entries, caller.recent_use(now)))
        is_greedier = greediest.entries > newcomer.caller.entries
        ticket = greediest.waiting[-1] if is_greedier else newcomer
        self._withdraw(ticket)
        self._grant()

    def _withdraw(self, ticket: Ticket) -> None:
        ticket.caller.waiting.remove(ticket)
        self._waiting -= 1
        self._refuse(ticket)

    def _refuse(self, ticket: Ticket) -> None:
        ticket.settle(TicketState.REFUSED)
        if not ticket.caller.entries:
            self._forget_idle_callers(self._clock())

    def _forget_idle_callers(self, now: float) -> None:
        """Drop the accounts of callers that have nothing here and used nothing lately."""
        if not self._held and not self._waiting:
            self._callers.clear()  # whoever used it kept no other caller waiting
            return
        idle = [one for one in self._callers.values() if not one.entries and not one.recent_use(now)]
        for caller in idle:
            del self._callers[caller.key]
