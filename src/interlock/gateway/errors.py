"""What can go wrong at the door itself."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "DualUnavailableError",
    "MixedSessionsError",
    "NotApplicableError",
    "SessionArchMismatchError",
    "ToolCallNotFoundError",
    "ToolNotAllowedError",
]


class DualUnavailableError(InterlockError):
    """Something only dual-llm execution can do was asked for."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNSUPPORTED
    code: ClassVar[str] = "dual_llm_unavailable"

    def __init__(self, what: str) -> None:
        asked = "agent_arch" in what
        super().__init__(
            f"{what} needs dual-llm execution, which this release does not have",
            hint='use `"agent_arch": "single-llm"`' if asked else None,
        )


class MixedSessionsError(InterlockError):
    """The tool results of one request belong to different sessions."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_request"

    def __init__(self) -> None:
        super().__init__("the tool results of this request belong to different sessions")


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
