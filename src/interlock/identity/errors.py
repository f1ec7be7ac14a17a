"""What can be wrong with a credential or with an identity command."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "AccountDisabledError",
    "AccountNotFoundError",
    "AlreadySetUpError",
    "InvalidIdentityError",
    "KeyNotFoundError",
    "LastAdministratorError",
    "LastOwnerError",
    "SessionNotFoundError",
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
    """Raised when an e-mail address or a user name is taken."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "user_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is already a user `{name}`")


class InvalidIdentityError(InterlockError):
    """Raised for a value that cannot be stored: `param` names it."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_identity"


class AccountDisabledError(InterlockError):
    """Raised when a person who was disabled shows a good credential."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "account_disabled"

    def __init__(self) -> None:
        super().__init__("this account is disabled", hint="ask an administrator")


class AlreadySetUpError(InterlockError):
    """Raised when the first administrator exists already."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "already_set_up"

    def __init__(self) -> None:
        super().__init__("the server is set up already")


class LastAdministratorError(InterlockError):
    """Raised when nobody would be left to administer the server."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "last_administrator"

    def __init__(self) -> None:
        super().__init__(
            "this is the last administrator who can sign in",
            hint="make somebody else an administrator first",
        )


class LastOwnerError(InterlockError):
    """Raised when an account would be left without an owner."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "last_owner"

    def __init__(self) -> None:
        super().__init__(
            "an account keeps at least one owner", hint="make somebody else an owner first"
        )


class SessionNotFoundError(InterlockError):
    """Raised for a login session the person does not have."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "not_found"

    def __init__(self) -> None:
        super().__init__("there is no such session")
