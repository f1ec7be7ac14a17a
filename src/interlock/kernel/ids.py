"""Identifiers: how they look and how they are made.

Randomness comes from the operating system (`os.urandom`) because ids of
sessions and calls are also capabilities: they must not be guessable.
"""

import os
import threading
import time
import uuid

__all__ = ["new_id", "new_ordered_uuid", "new_uuid", "random_bytes"]

_POOL_BYTES = 8192


class _Pool:
    """Operating-system randomness, fetched a few hundred ids at a time.

    Every byte is handed out once. A forked child starts with an empty pool.
    """

    def __init__(self) -> None:
        self._bytes = b""
        self._next = 0
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def take(self, count: int) -> bytes:
        """`count` fresh bytes."""
        with self._lock:
            start = self._next
            end = start + count
            if end > len(self._bytes):
                self._bytes = os.urandom(max(_POOL_BYTES, count))
                start, end = 0, count
            self._next = end
            return self._bytes[start:end]

    def _forget(self) -> None:
        self._bytes, self._next, self._lock = b"", 0, threading.Lock()


_POOL = _Pool()


def random_bytes(count: int) -> bytes:
    """Unpredictable bytes, each handed out once."""
    return _POOL.take(count)


def new_uuid() -> str:
    """A random UUID (version 4) in its 36-character form."""
    return str(uuid.UUID(bytes=random_bytes(16), version=4))


def new_id(prefix: str) -> str:
    """`prefix_` followed by 24 random hexadecimal characters (96 bits)."""
    return f"{prefix}_{random_bytes(12).hex()}"


def new_ordered_uuid() -> str:
    """A time-ordered UUID (version 7): later ones of this process sort behind earlier ones."""
    return str(uuid.UUID(int=_ORDER.take()))


class _Order:
    """Version 7 values: milliseconds, a counter of 12 bits, 62 random bits."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def take(self) -> int:
        """The next value: the clock, or one tick after the last one when that is later."""
        with self._lock:
            self._last = max((time.time_ns() // 1_000_000) << 12, self._last + 1)
            tick = self._last
        high = (tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64
        return high | 0x2 << 62 | int.from_bytes(random_bytes(8), "big") >> 2


_ORDER = _Order()
