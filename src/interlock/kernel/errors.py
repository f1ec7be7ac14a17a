"""The error every package raises: domain words, a stable code, advice, no HTTP.

Surfaces map `kind` to a status of their protocol; nothing below a surface
knows statuses. Messages are one lower-case sentence without a final period and
never carry a secret or prompt text.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

__all__ = ["ErrorKind", "InterlockError"]


class ErrorKind(StrEnum):
    """Closed list of what can be wrong; every surface's envelope maps all of it."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    QUOTA = "quota"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD = "method"
    CONFLICT = "conflict"
    GONE = "gone"
    TOO_LARGE = "too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    UNPROCESSABLE = "unprocessable"
    RATE_LIMITED = "rate_limited"
    INTERNAL = "internal"
    UNSUPPORTED = "unsupported"
    UPSTREAM = "upstream"
    UNAVAILABLE = "unavailable"
    UPSTREAM_TIMEOUT = "upstream_timeout"


class InterlockError(Exception):
    """Base of all errors a caller may be told about."""

    kind: ClassVar[ErrorKind] = ErrorKind.INTERNAL
    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        param: str | None = None,
        code: str | None = None,
        kind: ErrorKind | None = None,
        retry_after_s: float | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        """What the reader can do about it; appended to the message on the wire."""
        self.param = param
        """The header, body path or option that is wrong."""
        self.error_code = code or type(self).code
        self.error_kind = kind or type(self).kind
        self.retry_after_s = retry_after_s
        self.details = details or {}
        """Extra members for machine readers, never secrets."""
