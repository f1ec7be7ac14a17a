"""What can go wrong when a server is looked after."""

from pathlib import Path
from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "BackupError",
    "DataInUseError",
    "DataUnusableError",
    "StoreNotEmptyError",
    "WorkerAloneError",
]


class BackupError(InterlockError):
    """A backup cannot be written, read, or does not fit this version."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "backup_unusable"


class StoreNotEmptyError(InterlockError):
    """A backup is restored into an empty store only."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "store_not_empty"

    def __init__(self, where: str) -> None:
        super().__init__(
            f"the database at {where} has rows in it",
            hint="name an empty data directory with `--data`, or an empty database",
        )


class DataInUseError(InterlockError):
    """Another server works on this data directory."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "data_in_use"

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(
            f"`{path}` is used by another server{f' (process {owner})' if owner else ''}",
            hint="stop that one, or give this one a directory of its own with `--data`; several "
            "servers need PostgreSQL (INTERLOCK_DATABASE_URL)",
        )


class DataUnusableError(InterlockError):
    """The data directory cannot be made or written to."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "data_unusable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"`{path}` cannot be used: {reason}",
            hint="name a directory this user may write to with `--data`",
        )


class WorkerAloneError(InterlockError):
    """A worker was started on SQLite, which one process has for itself."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "worker_needs_postgresql"

    def __init__(self) -> None:
        super().__init__(
            "workers need PostgreSQL: with SQLite the server does all the work itself",
            hint="set INTERLOCK_DATABASE_URL=postgresql://... for servers and workers",
        )
