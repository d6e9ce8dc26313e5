"""Process-wide limits on buffered bytes, shared fairly between callers."""

from collections import Counter

# One caller alone may use three quarters of a budget; the rest is kept for others.
RESERVE_SHARE = 0.25


class BudgetExceededError(Exception):
    """The budget has no room for these bytes right now."""


class ByteBudget:
    """Counts bytes that are buffered for callers. Used from the event loop only.

    The share per caller is work-conserving: a caller may use everything but the reserve, and the reserve only while it
    has less than an equal share, counting one caller more than there are.

    Args:
        capacity: bytes in all.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._by_caller: Counter[str] = Counter()

    def reserve(self, caller: str, size: int) -> None:
        """Take `size` bytes for `caller`; `release` gives them back.

        Raises:
            BudgetExceededError: nothing was taken.
        """
        used = self.used + size
        own = self._by_caller[caller] + size  # a Counter: looking does not add the caller
        is_in_reserve = used > self.capacity * (1 - RESERVE_SHARE)
        equal_share = self.capacity / (len(self._by_caller) + 1)
        if used > self.capacity or (is_in_reserve and own > equal_share):
            raise BudgetExceededError
        self.used, self._by_caller[caller] = used, own

    def release(self, caller: str, size: int) -> None:
        """Give back bytes that `reserve` took."""
        self.used -= size
        self._by_caller[caller] -= size
        if not self._by_caller[caller]:
            del self._by_caller[caller]
