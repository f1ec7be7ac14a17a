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


def new_ordered_uuid(at_ms: int | None = None) -> str:
    """A UUID (version 7) that sorts by `at_ms`, milliseconds since the epoch; None: now.

    74 of its bits are random: ids of one millisecond are in no particular order.
    """
    moment = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    raw = bytearray((moment & 0xFFFFFFFFFFFF).to_bytes(6, "big") + random_bytes(10))
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(raw)))


def new_id(prefix: str) -> str:
    """`prefix_` followed by 24 random hexadecimal characters (96 bits)."""
    return f"{prefix}_{random_bytes(12).hex()}"
