"""Deadlines of everything in flight, checked by one timer.

Setting a deadline is an attribute assignment, not a timer of its own: a request
moves its deadline several times (first byte, every chunk), and most never expire.
The price is precision: expiry is noticed up to one `tick_s` late.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

__all__ = ["Watchdog", "Watched"]


class Watched(Protocol):
    """Something that must be told when its time is up."""

    deadline: float
    """Instant of the watchdog's clock; may be moved at will."""

    def expire(self, now: float) -> None:
        """Called once, after it was taken off the watch."""
        ...


class Watchdog:
    """Tells watched things that their deadline has passed."""

    __slots__ = ("_handle", "_items", "_tick_s", "now")

    def __init__(self, now: Callable[[], float], *, tick_s: float = 0.25) -> None:
        self.now = now
        self._tick_s = tick_s
        self._items: set[Watched] = set()
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._items)

    def watch(self, item: Watched) -> None:
        """Starts watching; must be called inside a running event loop."""
        self._items.add(item)
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._tick_s, self._on_tick)

    def forget(self, item: Watched) -> None:
        """Stops watching; harmless when it was not watched."""
        self._items.discard(item)

    def sweep(self) -> None:
        """Expires what is due now; called by the timer, and by tests that own the clock."""
        now = self.now()
        for item in [item for item in self._items if item.deadline <= now]:
            self._items.discard(item)
            item.expire(now)

    def stop(self) -> None:
        """Forgets everything and cancels the timer."""
        self._items.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _on_tick(self) -> None:
        self._handle = None
        try:
            self.sweep()
        finally:
            if self._items and self._handle is None:
                self._handle = asyncio.get_running_loop().call_later(self._tick_s, self._on_tick)
