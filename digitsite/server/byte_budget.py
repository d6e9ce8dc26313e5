"""Process-wide limits on buffered bytes, shared fairly between callers."""

from collections import Counter

# A single caller may use three quarters of a budget; the rest is reserved for other callers.
RESERVE_SHARE = 0.25


class BudgetExceededError(Exception):
    """The budget has no capacity left for these bytes at the moment."""


class ByteBudget:
    """Counts bytes that are buffered for callers. Not thread-safe: used on the event loop only.

    The share per caller is work-conserving. A caller may use everything except the reserve, and the reserve as long as
    it has less than an equal share, computed for one more caller than there are.

    Args:
        capacity: Bytes for all callers together.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._by_caller: Counter[str] = Counter()

    def reserve(self, caller: str, size: int) -> None:
        """Reserve `size` bytes for `caller`, until `release`.

        Raises:
            BudgetExceededError: The bytes are not available; nothing was reserved.
        """
        used = self.used + size
        own = self._by_caller[caller] + size  # reading a Counter does not add the caller
        is_in_reserve = used > self.capacity * (1 - RESERVE_SHARE)
        equal_share = self.capacity / (len(self._by_caller) + 1)
        if used > self.capacity or (is_in_reserve and own > equal_share):
            raise BudgetExceededError
        self.used, self._by_caller[caller] = used, own

    def release(self, caller: str, size: int) -> None:
        """Release bytes that were reserved."""
        self.used -= size
        self._by_caller[caller] -= size
        if not self._by_caller[caller]:
            del self._by_caller[caller]
