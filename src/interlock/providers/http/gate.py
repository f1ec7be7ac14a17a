"""A limit on how many may be inside at once, with a bounded wait at the door.

Entering a free gate is a counter; only those who must wait cost a future. Waiters
enter in the order they came.
"""

import asyncio
from collections import deque

from interlock.providers.http.watchdog import Watchdog

__all__ = ["Gate"]


class _Waiter:
    """One who waits at the gate; its future says whether it got in."""

    __slots__ = ("deadline", "future")

    def __init__(self, future: asyncio.Future[bool], deadline: float) -> None:
        self.future = future
        self.deadline = deadline

    def expire(self, now: float) -> None:
        """The wait is over, without a place."""
        if not self.future.done():
            self.future.set_result(False)


class Gate:
    """At most `limit` inside; None: no limit."""

    __slots__ = ("_limit", "_waiters", "_watchdog", "inside")

    def __init__(self, limit: int | None, watchdog: Watchdog) -> None:
        self._limit = limit
        self._watchdog = watchdog
        self._waiters: deque[_Waiter] = deque()
        self.inside = 0

    def try_enter(self) -> bool:
        """Takes a place if one is free now and nobody waits for it."""
        if self._limit is None or (self.inside < self._limit and not self._waiters):
            self.inside += 1
            return True
        return False

    async def enter(self, *, deadline: float) -> bool:
        """Takes a place, waiting until `deadline` (watchdog's clock); False: none came free."""
        if self.try_enter():
            return True
        waiter = _Waiter(asyncio.get_running_loop().create_future(), deadline)
        self._waiters.append(waiter)
        self._watchdog.watch(waiter)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.result():
                self.leave()
            raise
        finally:
            self._watchdog.forget(waiter)
            if not self._handed(waiter):
                self._waiters.remove(waiter)

    def leave(self) -> None:
        """Gives a place back; the first live waiter gets it."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.future.done():
                waiter.future.set_result(True)
                return
        self.inside -= 1

    def _handed(self, waiter: _Waiter) -> bool:
        return waiter not in self._waiters
