"""What can be wrong with a credential or with an identity command."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "AccountNotFoundError",
    "InvalidIdentityError",
    "KeyNotFoundError",
    "Unauthenticated",
    "UserExistsError",
    "UserNotFoundError",
]


class Unauthenticated(InterlockError):  # noqa: N818 - a condition, named as callers speak of it
    """Raised when there is no valid gateway key: `missing_api_key` or `invalid_api_key`."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAUTHENTICATED
    code: ClassVar[str] = "invalid_api_key"

    @classmethod
    def missing(cls) -> "Unauthenticated":
        """No key was sent."""
        return cls(
            "Missing API key", code="missing_api_key", hint="send `Authorization: Bearer sq-...`"
        )

    @classmethod
    def invalid(cls) -> "Unauthenticated":
        """The key is unknown, revoked or expired; which of them is not told."""
        return cls("Invalid API key", code="invalid_api_key")


class KeyNotFoundError(InterlockError):
    """Raised for a key id or prefix nothing matches."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "key_not_found"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"no key `{wanted}`", hint="`interlock keys list` shows all keys")


class UserNotFoundError(InterlockError):
    """Raised for an unknown user."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "user_not_found"

    def __init__(self, wanted: str | None) -> None:
        if wanted is None:
            super().__init__(
                "there is no administrator yet",
                hint="start the server once (`interlock serve`): it makes one",
            )
        else:
            super().__init__(f"no user `{wanted}`")


class AccountNotFoundError(InterlockError):
    """Raised for an unknown account."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "account_not_found"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"no account `{wanted}`")


class UserExistsError(InterlockError):
    """Raised when an e-mail address is taken."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "user_exists"

    def __init__(self, email: str) -> None:
        super().__init__(f"there is already a user `{email}`")


class InvalidIdentityError(InterlockError):
    """Raised for a value that cannot be stored: `param` names it."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_identity"
