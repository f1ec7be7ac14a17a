"""What can be wrong with a request about conversations."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "ConversationConflictError",
    "ForbiddenError",
    "InvalidFieldError",
    "InviteExistsError",
    "InviteGoneError",
    "LastOwnerError",
    "MessageDeletedError",
    "NotFoundError",
    "PostingTooFastError",
]


class InvalidFieldError(InterlockError):
    """Raised when a field of a request has a value that cannot be used."""

    kind: ClassVar = ErrorKind.INVALID
    code: ClassVar = "validation_failed"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(
            f"`{field}` {problem}",
            param=field,
            details={"errors": [{"field": field, "message": problem}]},
        )


class NotFoundError(InterlockError):
    """Raised for an id that does not exist."""

    kind: ClassVar = ErrorKind.NOT_FOUND
    code: ClassVar = "not_found"

    def __init__(self, thing: str, found_by: str) -> None:
        super().__init__(f"there is no {thing} `{found_by}`")


class ForbiddenError(InterlockError):
    """Raised when the caller is no member, or their role does not allow it."""

    kind: ClassVar = ErrorKind.FORBIDDEN
    code: ClassVar = "forbidden"

    def __init__(self, message: str = "you are not a member of this conversation") -> None:
        super().__init__(message)


class ConversationConflictError(InterlockError):
    """Raised when the state of a conversation or message does not allow it."""

    kind: ClassVar = ErrorKind.CONFLICT
    code: ClassVar = "conflict"


class LastOwnerError(InterlockError):
    """Raised when a conversation would be left without an owner."""

    kind: ClassVar = ErrorKind.CONFLICT
    code: ClassVar = "last_owner"

    def __init__(self) -> None:
        super().__init__("a conversation needs an owner", hint="make somebody else an owner first")


class InviteExistsError(InterlockError):
    """Raised when the address has an open invitation for this role."""

    kind: ClassVar = ErrorKind.CONFLICT
    code: ClassVar = "invite_exists"

    def __init__(self) -> None:
        super().__init__("this address already has an open invitation with this role")


class InviteGoneError(InterlockError):
    """Raised for an invitation that can be accepted no more."""

    kind: ClassVar = ErrorKind.GONE
    code: ClassVar = "invite_expired"

    def __init__(self, why: str) -> None:
        super().__init__(f"this invitation is {why}", code=f"invite_{why}")


class MessageDeletedError(InterlockError):
    """Raised when a deleted message would be changed or answered."""

    kind: ClassVar = ErrorKind.CONFLICT
    code: ClassVar = "message_deleted"

    def __init__(self, message_id: str) -> None:
        super().__init__(f"message `{message_id}` was deleted", hint="restore it first")


class PostingTooFastError(InterlockError):
    """Raised when a person posts faster than the limit of a conversation."""

    kind: ClassVar = ErrorKind.RATE_LIMITED
    code: ClassVar = "rate_limit_exceeded"

    def __init__(self, wait_s: float) -> None:
        super().__init__("too many messages in this conversation", retry_after_s=wait_s)
