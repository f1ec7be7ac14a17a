"""What can go wrong at the door itself."""

from collections.abc import Sequence
from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "DualOnlyError",
    "HistoryMismatchError",
    "MissingToolResultsError",
    "MixedSessionsError",
    "NotApplicableError",
    "NothingToAnswerError",
    "SessionArchMismatchError",
    "ToolCallNotFoundError",
    "ToolNotAllowedError",
]


class DualOnlyError(InterlockError):
    """A member of the body that only dual-llm execution knows came with single-llm."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "feature_not_applicable"

    def __init__(self, member: str) -> None:
        super().__init__(
            f"`{member}` needs dual-llm execution",
            hint='send `X-Features: {"agent_arch": "dual-llm"}`',
            param=member,
        )


class HistoryMismatchError(InterlockError):
    """The conversation a client sends is not the one that was had (`history_mismatch_policy`)."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "history_mismatch"

    def __init__(self) -> None:
        super().__init__(
            "the messages of this request differ from the conversation of its session",
            hint="send only the newest message, or set `fsm.history_mismatch_policy`",
        )


class NothingToAnswerError(InterlockError):
    """A request with neither a new user message nor a result that is waited for."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_request"

    def __init__(self) -> None:
        super().__init__(
            "the request ends in neither a user message nor the result of an outstanding tool call"
        )


class MixedSessionsError(InterlockError):
    """The tool results of one request belong to different sessions."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_request"

    def __init__(self) -> None:
        super().__init__("the tool results of this request belong to different sessions")


class MissingToolResultsError(InterlockError):
    """Some of the tool calls of one assistant message are answered and others are not."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "missing_tool_results"

    def __init__(self, call_ids: Sequence[str]) -> None:
        missing = ", ".join(f"`{call_id}`" for call_id in call_ids)
        super().__init__(
            f"the results of some tool calls are missing: {missing}",
            hint="answer every call of the last assistant message, or go on with a user message",
            details={"missing": list(call_ids)},
        )


class ToolCallNotFoundError(InterlockError):
    """A tool result answers a call of ours that does not exist."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "tool_call_not_found"

    def __init__(self, call_id: str) -> None:
        super().__init__(f"no tool call `{call_id[:100]}` in this session")


class SessionArchMismatchError(InterlockError):
    """The architecture of a session cannot change."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "session_arch_mismatch"

    def __init__(self, was: str, now: str) -> None:
        super().__init__(f"the session runs as `{was}`, the request asks for `{now}`")


class ToolNotAllowedError(InterlockError):
    """A tool the provider would run itself is denied, so it may not even be offered."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "tool_denied"

    def __init__(self, tool: str, why: str) -> None:
        super().__init__(
            f"tool `{tool}` runs at the provider, where no policy can check its calls, "
            f"and offering it is denied: {why}",
            hint="do not ask for it, or allow it in the policy",
            param="tools",
        )


class NotApplicableError(InterlockError):
    """A configured feature cannot be applied to this request; it never silently is not."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "feature_not_applicable"
