"""What can go wrong between us and an upstream, before anyone asks which model it was.

`stage` is what a retry needs to know: how far the exchange had come when it failed.
"""

from typing import ClassVar, Literal

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["Stage", "TransportError"]

Stage = Literal["connect", "send", "wait", "body"]
"""`connect`: no connection (the upstream saw no request); `send`: cut while the request
was being written; `wait`: request written, no byte of an answer; `body`: some of it came."""


class TransportError(InterlockError):
    """The exchange failed below the level of HTTP statuses.

    `code` is one of upstream_unreachable, upstream_timeout, upstream_truncated,
    upstream_malformed, upstream_too_large, overloaded, upstream_cancelled.
    """

    kind: ClassVar[ErrorKind] = ErrorKind.UPSTREAM
    code: ClassVar[str] = "upstream_error"

    def __init__(self, message: str, *, code: str, stage: Stage, permanent: bool = False) -> None:
        kind = _KINDS.get(code, ErrorKind.UPSTREAM)
        super().__init__(message, code=code, kind=kind)
        self.stage: Stage = stage
        self.permanent = permanent
        """The same attempt would fail again (certificate refused, answer too large)."""


_KINDS = {
    "upstream_timeout": ErrorKind.UPSTREAM_TIMEOUT,
    "overloaded": ErrorKind.UNAVAILABLE,
}
