"""What is asked of a person, and what a person may answer."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "Approval",
    "ApprovalClosedError",
    "ApprovalNotFoundError",
    "ApprovalState",
    "InvalidApprovalError",
    "OwnApprovalError",
    "Question",
    "Ruling",
]

ApprovalState = Literal["pending", "allowed", "denied", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A softly denied call, as it is put to a person."""

    decision_id: str
    account_id: str
    key_id: str
    session_id: str
    surface: str
    asked_for: str
    """Who made the request: e-mail address of the key's user."""
    tool: str
    rule: str
    """The rule that denied it, in words; the reason where no rule did."""
    arguments: dict[str, Any]
    labels: dict[str, Any]
    """Of each argument, as decision records keep them."""
    lineage: dict[str, Any]
    """Where the labels came from (11.13)."""
    keep_values: bool
    """False: the values go as soon as it is answered (retention of the key)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A question and what became of it. Times are seconds since the epoch."""

    id: str
    decision_id: str
    account_id: str
    key_id: str
    session_id: str
    surface: str
    asked_for: str
    tool: str
    rule: str
    arguments: dict[str, Any] | None
    labels: dict[str, Any]
    lineage: dict[str, Any]
    state: ApprovalState
    asked_at: float
    expires_at: float
    decided_at: float | None = None
    decided_by: str | None = None
    reason: str | None = None
    scope: Literal["once", "session"] = "once"
    edited_arguments: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The answer, as the waiting call gets it."""

    approval_id: str
    state: ApprovalState
    decided_by: str = ""
    reason: str = ""
    scope: Literal["once", "session"] = "once"
    arguments: dict[str, Any] | None = field(default=None)
    """Other arguments than the call had; None: the same."""

    @property
    def sentence(self) -> str:
        """What the one who asked is told."""
        why = f": {self.reason}" if self.reason else ""
        match self.state:
            case "allowed":
                return f"A person allowed it{why}."
            case "denied":
                return f"A person was asked and denied it{why}."
            case _:
                return "A person was asked and did not answer in time."


class ApprovalNotFoundError(InterlockError):
    """No such approval."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "approval_not_found"

    def __init__(self, approval_id: str) -> None:
        super().__init__(
            f"no approval `{approval_id[:100]}`", hint="`interlock approvals list` shows them"
        )


class ApprovalClosedError(InterlockError):
    """An approval that was answered, or expired, cannot be answered again."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "approval_closed"

    def __init__(self, approval_id: str, state: str) -> None:
        super().__init__(f"approval `{approval_id}` is already {state}")


class OwnApprovalError(InterlockError):
    """Nobody lifts a denial of his own request."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "own_approval"

    def __init__(self) -> None:
        super().__init__(
            "you asked for this call yourself",
            hint="somebody else answers it, or `gateway.approval_self` allows it",
        )


class InvalidApprovalError(InterlockError):
    """An answer that makes no sense."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_approval"
