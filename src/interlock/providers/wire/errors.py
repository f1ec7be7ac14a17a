"""What can be wrong with a body or a stream in some wire format."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "InvalidRequestError",
    "MalformedAnswerError",
    "StreamOverflowError",
    "ThreadsUnsupportedError",
    "UntranslatableError",
]


class InvalidRequestError(InterlockError):
    """The client's body is not what its format says; `param` is the path of the member."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_request"


class ThreadsUnsupportedError(InterlockError):
    """The client wants the provider to hold the conversation, where no session could follow it.

    Clients that know the answer, like the tool runner of the official SDK, then send the
    whole history.
    """

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "thread_unsupported_request"

    def __init__(self) -> None:
        super().__init__(
            "`thread`: conversations held by the provider are not supported",
            hint="send the whole conversation with every request",
            param="thread",
            details={"error_code": self.code, "unsupported": ["thread"]},
        )


class UntranslatableError(InterlockError):
    """The request uses something the upstream's format cannot say; the message names it."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "untranslatable"


class MalformedAnswerError(InterlockError):
    """The upstream answered something that is not an answer in its format."""

    kind: ClassVar[ErrorKind] = ErrorKind.UPSTREAM
    code: ClassVar[str] = "upstream_malformed"


class StreamOverflowError(InterlockError):
    """The upstream sent an event, or arguments of one call, larger than we hold."""

    kind: ClassVar[ErrorKind] = ErrorKind.UPSTREAM
    code: ClassVar[str] = "upstream_too_large"
