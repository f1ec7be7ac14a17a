"""Why a session cannot be rehearsed."""

from collections.abc import Sequence
from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "InvalidInjectionError",
    "NothingToRehearseError",
    "PolicyNotKeptError",
    "RehearsalTargetError",
    "SessionNotRecordedError",
    "SessionUnreadableError",
]


class SessionNotRecordedError(InterlockError):
    """Raised for a session the store does not have."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "session_not_recorded"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"no session `{session_id[:100]}` is stored",
            hint="sessions without tool calls and labels are not, and old ones are removed; "
            "`interlock decisions list` shows ids",
        )


class SessionUnreadableError(InterlockError):
    """Raised for a stored session that another version of Interlock wrote."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "session_unreadable"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session `{session_id}` is stored in a form this version cannot read")


class NothingToRehearseError(InterlockError):
    """Raised for a session of which no call or program is recorded."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "nothing_to_rehearse"

    def __init__(self, session_id: str, what: str) -> None:
        super().__init__(f"session `{session_id}` has no recorded {what} to rehearse")


class PolicyNotKeptError(InterlockError):
    """Raised when the policies the session was decided under are not in the store any more."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "policy_not_kept"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is not kept", hint="give the policies to rehearse under with `--policy FILE`"
        )


class RehearsalTargetError(InterlockError):
    """Raised for a tool result that the session does not have."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "no_such_result"

    def __init__(self, wanted: str, tools: Sequence[str]) -> None:
        known = ", ".join(f"`{name}`" for name in dict.fromkeys(tools)) or "none"
        super().__init__(
            f"the session has no result of `{wanted[:100]}`",
            hint=f"tools with results are: {known}",
            param="--into",
        )


class InvalidInjectionError(InterlockError):
    """Raised for a text that cannot be rehearsed."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_injection"

    def __init__(self, why: str) -> None:
        super().__init__(f"the injected text {why}", param="--inject")
