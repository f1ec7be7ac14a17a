"""Token-bucket arithmetic for requests and model tokens per minute.

Pure: no clock, no storage. The caller passes `now` (seconds of a monotonic
clock). Levels are in the bucket's own unit.

Invariant: level <= capacity. A level may be negative: what a request really
cost is known only afterwards, and the debt is paid off by waiting.
"""

__all__ = ["Bucket"]

_MINUTE_S = 60.0


class Bucket:
    """A bucket that fills up in one minute. Mutable: one per key, touched at every request."""

    __slots__ = ("_at", "_level", "capacity")

    def __init__(self, capacity: float, *, now: float) -> None:
        """A full bucket of `capacity` units, which is also what flows in per minute."""
        if not capacity > 0:
            raise ValueError("a bucket needs a capacity above zero")
        self.capacity = capacity
        self._level = float(capacity)
        self._at = now

    def level(self, now: float) -> float:
        """Units in the bucket at `now`."""
        elapsed = now - self._at
        if elapsed <= 0:
            return self._level
        return min(self.capacity, self._level + elapsed * self.capacity / _MINUTE_S)

    def take(self, amount: float, *, now: float) -> float:
        """Spends `amount` if that much is there.

        Returns 0.0 when it was spent; otherwise nothing is, and the result is the wait in
        seconds until it could be. More than the capacity waits for a full bucket.
        """
        level = self.level(now)
        if level >= amount or level >= self.capacity:
            self._level = level - amount
            self._at = max(now, self._at)
            return 0.0
        missing = min(amount, self.capacity) - level
        return missing * _MINUTE_S / self.capacity

    def spend(self, amount: float, *, now: float) -> None:
        """Takes `amount` whatever is there; the level may fall below zero."""
        self._level = self.level(now) - amount
        self._at = max(now, self._at)

    def resize(self, capacity: float, *, now: float) -> None:
        """Changes the capacity, keeping the spent part spent."""
        spent = self.capacity - self.level(now)
        if not capacity > 0:
            raise ValueError("a bucket needs a capacity above zero")
        self.capacity = capacity
        self._level = capacity - spent
        self._at = max(now, self._at)
