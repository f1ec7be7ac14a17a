"""Where batches go, and what can go wrong there.

INVARIANT: a batch and the mark that says so are one transaction. After a lost
connection the mark tells whether the batch got through.
"""

from typing import Protocol

from interlock.gateway.recorder.rows import Batch

__all__ = ["Sink", "SinkRejectedError", "SinkUnavailableError"]


class SinkUnavailableError(Exception):
    """Raised when the store cannot be written now; the same batch may be tried again."""


class SinkRejectedError(Exception):
    """Raised when the store refuses a row of the batch; nothing of it was written."""


class Sink(Protocol):
    """Where batches go; used by one thread."""

    def write(self, batch: Batch, *, writer: str, position: int, durable: bool) -> None:
        """Writes the batch and moves the mark of `writer`, in one transaction.

        `durable`: safe against a power cut when it returns. Raises
        SinkUnavailableError or SinkRejectedError.
        """
        ...

    def position(self, writer: str) -> int:
        """The mark of `writer`; 0 when it has none. Raises SinkUnavailableError."""
        ...

    def forget(self, writer: str) -> None:
        """Removes the mark of `writer` and marks nobody moved for a month."""
        ...

    def close(self) -> None:
        """Closes the connection; the next call opens a new one."""
        ...
