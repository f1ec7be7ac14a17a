"""One server per data directory: a lock the operating system drops when the process dies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interlock.ops.errors import DataInUseError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no flock
    fcntl = None  # type: ignore[assignment]

__all__ = ["LOCK_FILE", "held"]

LOCK_FILE = "server.lock"


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Holds the data directory for a server.

    Raises:
        DataInUseError: another process holds it.
    """
    if fcntl is None:  # pragma: no cover - see above
        yield
        return
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = data / LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip()
            raise DataInUseError(data, owner) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
