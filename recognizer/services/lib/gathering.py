"""Group commit: execute the concurrent calls of many threads as one batch."""

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
# Returns the calls of these items before the rest of the batch.
LetGo = Callable[[Sequence[T]], None]


class _Place(Generic[T]):
    """A queued caller.

    Attributes:
        item: the argument of the call.
        event: a lock that is released when the batch of the caller has completed, or to make the caller the leader.
        is_done: whether the call may return.
        error: the exception that the call raises.
    """

    __slots__ = ("error", "event", "is_done", "item")

    def __init__(self, item: T) -> None:
        self.item = item
        self.event = threading.Lock()
        self.event.acquire()
        self.is_done = False
        self.error: BaseException | None = None


class Gathering(Generic[T]):
    """Group commit. Thread-safe.

    The first caller becomes the leader and runs the batch immediately; callers that arrive while a batch is running
    are queued and form the next batch. There is no batching window and no background thread: the head of the queue is
    promoted to leader. Only the callers of a completed batch and the next leader are woken.

    Args:
        act: executes a batch; one batch at a time.
        then: a second step for which the callers of a batch wait while the next batch already runs. The first item is
            that of the thread in which it runs.
        max_batch_size: the maximum size of a batch, in FIFO order.
    """

    def __init__(
        self,
        act: Callable[[Sequence[T]], None],
        then: Callable[[Sequence[T], LetGo[T]], None] | None = None,
        *,
        max_batch_size: int = sys.maxsize,
    ) -> None:
        self._act, self._then, self._max_batch_size = act, then, max_batch_size
        self._lock = threading.Lock()
        self._waiting: list[_Place[T]] = []
        self._running = False

    def bring(self, item: T) -> None:
        """Block until the batch that contains `item` has been executed. Re-raises the exception of the batch."""
        place = _Place(item)
        with self._lock:
            self._waiting.append(place)
            must_wait, self._running = self._running, True
        if must_wait:
            place.event.acquire()
        if not place.is_done:
            self._lead()
        # The traceback of the error references this frame: a variable of it that references the error would make a
        # reference cycle.
        error, place.error = place.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    def _lead(self) -> None:
        """Execute the queued items as a batch, the caller's first, and promote the head of the queue to leader."""
        with self._lock:
            batch, self._waiting = self._waiting[: self._max_batch_size], self._waiting[self._max_batch_size :]
        items = [place.item for place in batch]
        error = _error_of(lambda: self._act(items))
        with self._lock:
            next_leader = self._waiting[0] if self._waiting else None
            self._running = next_leader is not None
        then = self._then
        if then is not None and error is None:
            if next_leader is not None:
                next_leader.event.release()
                next_leader = None
            error = _error_of(lambda: then(items, lambda done: _let_go(_of(batch, done), None)))
        _let_go(batch, error)
        del error  # its traceback references this frame
        if next_leader is not None:
            next_leader.event.release()


def _of(places: Sequence[_Place[T]], items: Sequence[T]) -> list[_Place[T]]:
    """Return the callers of these items."""
    ids = set(map(id, items))
    return [place for place in places if id(place.item) in ids]


def _let_go(places: Sequence[_Place[T]], error: BaseException | None) -> None:
    """Wake these callers unless they were woken before; their calls return, or raise the error."""
    for place in places:
        if not place.is_done:
            place.is_done, place.error = True, error
            if place.event.locked():
                place.event.release()


def _error_of(function: Callable[[], None]) -> BaseException | None:
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - every caller of the batch raises it
        return error
    return None
