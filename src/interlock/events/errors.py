"""What can go wrong with the event log."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["EventsBehindError"]


class EventsBehindError(InterlockError):
    """Raised when so many posted events wait for the store that no more are taken."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "events_behind"

    def __init__(self) -> None:
        super().__init__("the event log does not keep up", retry_after_s=1)
