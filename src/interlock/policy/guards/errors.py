"""What can be wrong with a guard configuration."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["GuardConfigError"]


class GuardConfigError(InterlockError):
    """A classifier or blocker that does not exist, or a mode or threshold that means nothing."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_header"
