"""Group commit: run one batch for all threads that want the same thing done at the same moment."""

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
# Lets those go who brought these things, before the others.
LetGo = Callable[[Sequence[T]], None]


class _Place(Generic[T]):
    """One who waits. `gate` opens when there is something to do: to go, or to lead."""

    __slots__ = ("error", "gate", "is_over", "thing")

    def __init__(self, thing: T) -> None:
        self.thing = thing
        self.gate = threading.Lock()
        self.gate.acquire()
        self.is_over = False
        self.error: BaseException | None = None


class Gathering(Generic[T]):
    """Whoever comes while nothing is going on acts at once; whoever comes meanwhile is served by the next act.

    Nobody waits for others to come, and there is no thread of its own: one of those who wait acts for them. Woken are
    only those who were served, and one to lead the next. Thread-safe.

    Args:
        act: what is done, by one at a time.
        then: what else those who were served wait for, while the next ones act already. The first of the things is
            that of the thread in which it runs.
        most: for so many at a time, those who came first.
    """

    def __init__(
        self,
        act: Callable[[Sequence[T]], None],
        then: Callable[[Sequence[T], LetGo[T]], None] | None = None,
        *,
        most: int = sys.maxsize,
    ) -> None:
        self._act, self._then, self._most = act, then, most
        self._lock = threading.Lock()
        self._waiting: list[_Place[T]] = []
        self._running = False

    def bring(self, thing: T) -> None:
        """Return once an act that began after this call has ended, and was given the thing. Raises what it raised."""
        mine = _Place(thing)
        with self._lock:
            self._waiting.append(mine)
            must_wait, self._running = self._running, True
        if must_wait:
            mine.gate.acquire()
        if not mine.is_over:
            self._lead()
        # Its traceback will hold this frame: an error that a variable of it held too would be a reference cycle.
        error, mine.error = mine.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    def _lead(self) -> None:
        """Act for those who wait at this moment, the caller first, and call one of those who wait then."""
        with self._lock:
            served, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        things = [one.thing for one in served]
        error = _error_of(lambda: self._act(things))
        with self._lock:
            next_one = self._waiting[0] if self._waiting else None
            self._running = next_one is not None
        if self._then is not None and error is None:
            if next_one is not None:
                next_one.gate.release()
                next_one = None
            error = _error_of(lambda: self._then(things, lambda some: _let_go(_of(served, some), None)))
        _let_go(served, error)
        del error  # whose traceback holds this frame
        if next_one is not None:
            next_one.gate.release()


def _of(places: Sequence[_Place[T]], things: Sequence[T]) -> list[_Place[T]]:
    """The places of those who brought these things."""
    wanted = set(map(id, things))
    return [one for one in places if id(one.thing) in wanted]


def _let_go(places: Sequence[_Place[T]], error: BaseException | None) -> None:
    for one in places:
        if not one.is_over:
            one.is_over, one.error = True, error
            if one.gate.locked():
                one.gate.release()


def _error_of(act: Callable[[], None]) -> BaseException | None:
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - each of those who wait raises it
        return error
    return None
