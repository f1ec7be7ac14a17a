"""What a caller over a limit is told."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["QuotaExceededError", "RateLimitedError"]


class RateLimitedError(InterlockError):
    """Raised when a key asks too often; `retry_after_s` says when it may again."""

    kind: ClassVar[ErrorKind] = ErrorKind.RATE_LIMITED
    code: ClassVar[str] = "rate_limit_exceeded"

    def __init__(self, what: str, limit: int, retry_after_s: float) -> None:
        super().__init__(
            f"the key's limit of {limit} {what} per minute is reached",
            retry_after_s=retry_after_s,
        )


class QuotaExceededError(InterlockError):
    """Raised when a key's money for the month is spent."""

    kind: ClassVar[ErrorKind] = ErrorKind.QUOTA
    code: ClassVar[str] = "quota_exceeded"

    def __init__(self, limit: float, month: str) -> None:
        super().__init__(
            f"the key's budget of ${limit:.2f} for {month} is spent",
            hint="ask an administrator for a larger one",
        )
