"""What a caller over a limit is told."""

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.limits.algorithms import Verdict

__all__ = [
    "AssignmentNotFoundError",
    "InvalidAssignmentError",
    "InvalidProfileError",
    "ProfileInUseError",
    "ProfileNameTakenError",
    "ProfileNotFoundError",
    "RateLimitedError",
    "Ruled",
    "TooManyRequestsError",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """What became of one request."""

    profile: str
    verdict: Verdict


class RateLimitedError(InterlockError):
    """Raised when a key asks too often; `retry_after_s` says when it may again."""

    kind: ClassVar[ErrorKind] = ErrorKind.RATE_LIMITED
    code: ClassVar[str] = "rate_limit_exceeded"

    def __init__(self, what: str, limit: int, retry_after_s: float) -> None:
        super().__init__(
            f"the key's limit of {limit} {what} per minute is reached",
            retry_after_s=retry_after_s,
        )


class TooManyRequestsError(InterlockError):
    """Raised when a route limit refuses a request; `retry_after_s` says when to come again."""

    kind: ClassVar[ErrorKind] = ErrorKind.RATE_LIMITED
    code: ClassVar[str] = "rate_limit_exceeded"

    def __init__(self, ruled: Ruled) -> None:
        seconds = max(1, ceil(ruled.verdict.retry_after_s))
        super().__init__(
            f"too many requests; retry in {seconds} s",
            retry_after_s=seconds,
            details={"retry_after_seconds": seconds},
        )
        self.ruled = ruled
        """Which limit refused, and what is left of it."""


class InvalidProfileError(InterlockError):
    """A profile says something that is no limit."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNPROCESSABLE
    code: ClassVar[str] = "invalid_profile"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message, param=field)


class InvalidAssignmentError(InterlockError):
    """An assignment names no method or no path."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNPROCESSABLE
    code: ClassVar[str] = "invalid_assignment"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message, param=field)


class ProfileNotFoundError(InterlockError):
    """No such profile."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "not_found"

    def __init__(self, profile_id: str) -> None:
        super().__init__(f"limit profile `{profile_id[:64]}` does not exist")


class AssignmentNotFoundError(InterlockError):
    """No such assignment."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "not_found"

    def __init__(self, assignment_id: str) -> None:
        super().__init__(f"limit assignment `{assignment_id[:64]}` does not exist")


class ProfileNameTakenError(InterlockError):
    """Another profile has that name."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "profile_name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"a limit profile named `{name[:64]}` exists already", param="name")


class ProfileInUseError(InterlockError):
    """The profile is assigned to a route, or built in."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "profile_in_use"

    def __init__(self, name: str, *, built_in: bool) -> None:
        why = "is built in" if built_in else "is assigned to a route"
        super().__init__(f"limit profile `{name[:64]}` {why} and cannot be deleted")
