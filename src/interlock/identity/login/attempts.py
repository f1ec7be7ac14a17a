"""How often one may try: counts under names within a sliding window, bounded in memory.

Source: conversations.md section 6, `POST /api/auth/login`.
"""

from collections import OrderedDict, deque
from typing import Final, Protocol

from interlock.kernel.clock import Clock

__all__ = ["Attempts", "MemoryAttempts"]

_CAPACITY: Final = 50_000


class Attempts(Protocol):
    """Counts attempts, in this process or for several."""

    async def take(self, name: str, *, limit: int, window_s: float) -> float:
        """Counts an attempt unless `limit` were made within the window.

        Returns 0.0 when it was counted, else the seconds until one may try again; a
        refused attempt is not counted, so nobody is locked out for longer by trying.
        """
        ...

    async def forget(self, name: str) -> None:
        """Forgets the attempts under a name."""
        ...


class MemoryAttempts:
    """Counts in this process. Names used longest ago are forgotten first."""

    def __init__(self, clock: Clock, *, capacity: int = _CAPACITY) -> None:
        self._monotonic = clock.monotonic
        self._capacity = capacity
        self._made: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        """How many names are remembered."""
        return len(self._made)

    async def take(self, name: str, *, limit: int, window_s: float) -> float:
        """Counts an attempt; see `Attempts.take`. Decides without waiting."""
        now = self._monotonic()
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = deque(maxlen=limit)
            if len(self._made) > self._capacity:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(name)
        while made and made[0] <= now - window_s:
            made.popleft()
        if len(made) >= limit:
            return made[0] + window_s - now
        made.append(now)
        return 0.0

    async def forget(self, name: str) -> None:
        """Forgets the attempts under a name."""
        self._made.pop(name, None)
