"""Group commit: execute the concurrent calls of many threads as one batch."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from django.conf import settings

from .process_share import per_process

T = TypeVar("T")


def max_transaction_requests() -> int:
    """Return the maximum number of requests that are stored in one transaction.

    It is half of the wait slots that one caller may hold (three quarters of all): while one batch waits for its
    predictions, there are as many slots for the next one. Without the limit, some requests of a large batch would get
    no slot.
    """
    return max(1, per_process(settings.MAX_WAITING_REQUESTS) * 3 // 8)


@dataclass(slots=True, eq=False)
class _Caller(Generic[T]):
    """A queued caller.

    Attributes:
        item: the argument of its call.
        wake_up: set when the batch has completed, or to make the caller the leader.
        is_done: whether the call may return.
        error: the exception that the call raises.
    """

    item: T
    wake_up: threading.Event = field(default_factory=threading.Event)
    is_done: bool = False
    error: BaseException | None = None


class GroupCommit(Generic[T]):
    """Group commit of the calls of `submit`. Thread-safe.

    The first caller becomes the leader and runs the batch immediately; callers that arrive while a batch is running
    are queued and form the next batch. There is no batching window and no background thread: the head of the queue is
    promoted to leader. Each follower is woken once.

    Args:
        execute: executes a batch; one batch at a time. The first item is that of the leader, which runs it.
        on_complete: what the leader does afterwards, while the next batch already runs: a generator that yields the
            items whose calls may return before it has ended.
        max_batch_size: the maximum size of a batch, in FIFO order.
    """

    def __init__(
        self,
        execute: Callable[[Sequence[T]], None],
        on_complete: Callable[[Sequence[T]], Iterator[Sequence[T]]] | None = None,
        *,
        max_batch_size: int = sys.maxsize,
    ) -> None:
        self._execute, self._on_complete, self._max_batch_size = execute, on_complete, max_batch_size
        self._lock = threading.Lock()
        self._queue: list[_Caller[T]] = []
        self._is_running = False

    @property
    def queue_length(self) -> int:
        """The number of callers that are not in a batch yet."""
        return len(self._queue)

    def submit(self, item: T) -> None:
        """Block until the batch that contains `item` has completed. Re-raises the exception of the batch."""
        caller = _Caller(item)
        with self._lock:
            self._queue.append(caller)
            must_wait, self._is_running = self._is_running, True
        if must_wait:
            caller.wake_up.wait()
        if not caller.is_done:
            self._lead()
        # The traceback of the error references this frame: a variable of it that references the error would make a
        # reference cycle.
        error, caller.error = caller.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    def _lead(self) -> None:
        """Execute the queued items as a batch, the caller's first, and promote the head of the queue to leader."""
        with self._lock:
            batch, self._queue = self._queue[: self._max_batch_size], self._queue[self._max_batch_size :]
        items, error = [caller.item for caller in batch], None
        try:
            self._execute(items)
        except BaseException as caught:  # noqa: BLE001 - every caller of the batch raises it
            error = caught
        with self._lock:
            next_leader = self._queue[0] if self._queue else None
            self._is_running = next_leader is not None
        if next_leader is not None:
            next_leader.wake_up.set()
        if self._on_complete is not None and error is None:
            try:
                for finished in self._on_complete(items):
                    ids = set(map(id, finished))
                    _finish([caller for caller in batch if id(caller.item) in ids], None)
            except BaseException as caught:  # noqa: BLE001 - every caller that still waits raises it
                error = caught
        _finish(batch, error)
        del error  # its traceback references this frame


def _finish(callers: Sequence[_Caller[T]], error: BaseException | None) -> None:
    """Let the calls of these callers return, or raise the error, unless they were finished before."""
    for caller in callers:
        if not caller.is_done:
            caller.is_done, caller.error = True, error
            caller.wake_up.set()
