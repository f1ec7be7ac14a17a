"""What can be wrong with a guard configuration, and with a tagging model's answer."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["GuardConfigError", "TagAnswerError"]


class GuardConfigError(InterlockError):
    """A classifier or blocker that does not exist, or a mode or threshold that means nothing."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_header"


class TagAnswerError(InterlockError):
    """The tagging model answered something that is no verdict; callers fail closed."""

    kind: ClassVar[ErrorKind] = ErrorKind.UPSTREAM
    code: ClassVar[str] = "upstream_malformed"
