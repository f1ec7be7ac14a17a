"""What can be wrong with the relational store, in words an operator can act on."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "MigrationFailedError",
    "SchemaError",
    "SecretKeyError",
    "StoreDamagedError",
    "StoreUnavailable",
    "StoreUrlError",
]


class StoreUnavailable(InterlockError):  # noqa: N818 - a condition, named as callers speak of it
    """Raised when the store cannot be reached or does not answer in time; a retry may help."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "store_unavailable"

    def __init__(
        self, message: str = "the store does not answer at the moment", *, reason: str = ""
    ) -> None:
        super().__init__(message, hint="try again in a moment", retry_after_s=1.0)
        self.reason = reason
        """What the driver said: for operators, never for callers, since it names the host."""


class StoreDamagedError(StoreUnavailable):
    """Raised when the file of the store is damaged, or is no database at all."""

    code: ClassVar[str] = "store_damaged"

    def __init__(self) -> None:
        super().__init__("the file of the store is damaged, or no database at all")
        self.hint = "restore it from a backup"


class StoreUrlError(InterlockError):
    """Raised for a database URL that names no supported store."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_database_url"


class SchemaError(InterlockError):
    """Raised when the store's schema is not the one this version works with."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "schema_mismatch"


class MigrationFailedError(SchemaError):
    """Raised when a migration stopped; the revision before it is still in place."""

    code: ClassVar[str] = "migration_failed"

    def __init__(self, revision: str, reason: str) -> None:
        super().__init__(
            f"migration `{revision}` did not finish: {reason}",
            hint="its changes were rolled back; correct the cause, then run `interlock migrate`",
        )
        self.revision = revision


class SecretKeyError(InterlockError):
    """Raised when the master key is unusable or is not the one that encrypted a value."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "secret_key_mismatch"
