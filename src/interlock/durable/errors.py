"""What can go wrong with durable work."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["DurableInUseError", "DurableStoppedError", "DurableUnavailable"]


class DurableInUseError(InterlockError):
    """Raised when another process works on the same file."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "durable_in_use"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"another process uses `{path}`",
            hint="stop it, or use PostgreSQL to run several processes",
        )


class DurableStoppedError(InterlockError):
    """Raised when work is given to an engine that does not run."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "durable_stopped"

    def __init__(self) -> None:
        super().__init__("durable work is not running", retry_after_s=1)


class DurableUnavailable(InterlockError):  # noqa: N818 - says what is the case
    """Raised when the store of durable work cannot be used."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "durable_unavailable"

    def __init__(self) -> None:
        super().__init__("the store of durable work does not answer", retry_after_s=1)
