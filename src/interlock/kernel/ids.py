"""Identifiers: how they look and how they are made.

Randomness comes from the operating system (`os.urandom`) because ids of
sessions and calls are also capabilities: they must not be guessable.
"""

import os
import threading
import uuid

__all__ = ["new_id", "new_uuid", "random_bytes"]

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
