"""One server per data directory: a lock the operating system drops when the process dies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interlock.ops.errors import DataInUseError, DataUnusableError

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
        DataUnusableError: it cannot be made, or not be written to.
    """
    if fcntl is None:  # pragma: no cover - see above
        yield
        return
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataUnusableError(data, str(error.strerror or error)) from error
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
