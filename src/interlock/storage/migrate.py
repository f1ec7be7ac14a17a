"""Brings the schema to the revision this version works with, or refuses to start.

Each revision runs in one transaction together with its version row. Before it
starts, a marker naming it is committed, and removed by the same transaction: a
marker that is still there means a process died or a migration failed, and the
server does not start on top of that. Afterwards the schema is compared with the
table definitions, so that a missing table or column is found here and not by a
request.

One process migrates at a time: a session-level advisory lock on PostgreSQL, a
locked file beside the database on SQLite.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from msgspec import Struct
from sqlalchemy import Connection, MetaData, inspect, text

from interlock.storage.engine import Database
from interlock.storage.errors import MigrationFailedError, SchemaError, StoreUnavailable

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no flock; SQLite's own lock remains
    fcntl = None  # type: ignore[assignment]

__all__ = ["SchemaStatus", "check_schema", "migrate"]

_MARKER = "schema_marker"
_VERSION_TABLE = "schema_revision"
_ADVISORY_LOCK = 0x696E7465726C6F63
_POLL_S = 0.1
_SCRIPTS = Path(__file__).parent / "migrations"


class SchemaStatus(Struct, frozen=True, kw_only=True):
    """Where a store's schema stands."""

    current: str | None
    """Revision in the store; None: empty store."""
    head: str
    """Revision this version works with."""
    pending: tuple[str, ...]
    """Revisions to apply, oldest first."""
    interrupted: str | None = None
    """Revision whose migration did not finish."""
    differences: tuple[str, ...] = ()
    """What the schema lacks, when it claims to be at `head`."""

    @property
    def ready(self) -> bool:
        """Whether a server may start on it."""
        return not (self.pending or self.interrupted or self.differences)


def migrate(
    database: Database,
    metadata: MetaData,
    *,
    retry: bool = False,
    lock_s: float = 60.0,
    scripts: Path = _SCRIPTS,
) -> tuple[str, ...]:
    """Applies what is pending and verifies the result; returns the applied revisions.

    Safe to call from several processes at once. With `retry` a migration that was
    interrupted is tried again, without it that is an error.

    Raises:
        SchemaError: interrupted before, newer than this version, or not as it should be.
        MigrationFailedError: a migration stopped; its changes were rolled back.
        StoreUnavailable: not reachable, or another process kept the lock for `lock_s`.
    """
    directory = ScriptDirectory(str(scripts))
    with database.migration_connection() as connection, _lock(database, connection, lock_s):
        status = _status(connection, directory)
        if status.interrupted and not retry:
            raise SchemaError(
                f"the migration `{status.interrupted}` was interrupted",
                hint="look at the log of the process that ran it, back up the database, "
                "then run `interlock migrate` to try it again",
            )
        for revision in status.pending:
            _apply(connection, directory, revision)
        if status.interrupted:
            _clear_marker(connection)
        differences = _differences(connection, metadata)
    if differences:
        raise SchemaError(
            "the database schema is not the one of this version: " + "; ".join(differences[:8]),
            hint="restore the database from a backup, or start with a new one; "
            "`interlock migrate --check` lists the differences",
        )
    return status.pending


def check_schema(
    database: Database, metadata: MetaData, *, scripts: Path = _SCRIPTS
) -> SchemaStatus:
    """What `migrate` would find, changing nothing.

    Raises:
        SchemaError: the store was written by a newer version.
        StoreUnavailable: not reachable.
    """
    with database.migration_connection() as connection:
        status = _status(connection, ScriptDirectory(str(scripts)))
        if status.pending:
            return status
        return SchemaStatus(
            current=status.current,
            head=status.head,
            pending=(),
            interrupted=status.interrupted,
            differences=tuple(_differences(connection, metadata)),
        )


def _status(connection: Connection, directory: ScriptDirectory) -> SchemaStatus:
    current = _context(connection).get_current_revision()
    interrupted = _marker(connection)
    # Reading opened a transaction of its own; the revisions want theirs.
    connection.rollback()
    scripts = list(directory.walk_revisions())
    known = {script.revision for script in scripts}
    head = scripts[0].revision
    if current is not None and current not in known:
        raise SchemaError(
            f"the database is at revision `{current}`, which this version does not know",
            hint="it was written by a newer Interlock: start that version, or restore a backup",
        )
    pending = []
    for script in scripts:
        if script.revision == current:
            break
        pending.append(script.revision)
    return SchemaStatus(
        current=current, head=head, pending=tuple(reversed(pending)), interrupted=interrupted
    )


def _apply(connection: Connection, directory: ScriptDirectory, revision: str) -> None:
    with connection.begin():
        connection.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS {_MARKER} "
                "(revision VARCHAR(32) PRIMARY KEY, started_at DOUBLE PRECISION NOT NULL)"
            )
        )
        connection.execute(text(f"DELETE FROM {_MARKER}"))  # noqa: S608 - a constant
        connection.execute(
            text(f"INSERT INTO {_MARKER} VALUES (:revision, :at)"),  # noqa: S608 - a constant
            {"revision": revision, "at": time.time()},
        )
    try:
        with connection.begin():
            context = _context(
                connection,
                fn=lambda current, _context: directory._upgrade_revs(revision, current),
            )
            with Operations.context(context):
                context.run_migrations()
            connection.execute(text(f"DELETE FROM {_MARKER}"))  # noqa: S608 - a constant
    except Exception as error:
        # A migration is arbitrary code: whatever stopped it, the operator must read which one.
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0:1]
        raise MigrationFailedError(revision, *(reason or [type(error).__name__])) from error


def _clear_marker(connection: Connection) -> None:
    with connection.begin():
        connection.execute(text(f"DELETE FROM {_MARKER}"))  # noqa: S608 - a constant


def _context(connection: Connection, fn: Callable[..., Any] | None = None) -> MigrationContext:
    options: dict[str, Any] = {
        "version_table": _VERSION_TABLE,
        "compare_type": True,
        "transactional_ddl": True,
    }
    if fn is not None:
        options["fn"] = fn
    return MigrationContext.configure(connection, opts=options)


def _marker(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_MARKER):
        return None
    found = connection.execute(text(f"SELECT revision FROM {_MARKER}")).scalar()  # noqa: S608
    return None if found is None else str(found)


def _differences(connection: Connection, metadata: MetaData) -> list[str]:
    found = [_describe(entry) for entry in compare_metadata(_context(connection), metadata)]
    connection.rollback()
    return [line for line in found if line is not None]


def _describe(entry: Any) -> str | None:  # noqa: ANN401 - alembic types it no further
    """One difference in words; None for what is not ours to judge."""
    if isinstance(entry, list):
        lines = [line for line in map(_describe, entry) if line is not None]
        return "; ".join(lines) or None
    words = _WORDS.get(entry[0])
    return words(entry) if words is not None else None


_WORDS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {
        # Tables, columns and indexes that are not ours are left alone (`remove_*` is absent).
        "add_table": lambda entry: f"table `{entry[1].name}` is missing",
        "add_column": lambda entry: f"column `{entry[2]}.{entry[3].name}` is missing",
        "add_index": lambda entry: f"index `{entry[1].name}` is missing",
        "add_constraint": lambda entry: f"constraint `{entry[1].name}` is missing",
        "add_fk": lambda entry: f"foreign key `{entry[1].name}` is missing",
        "modify_type": lambda entry: f"column `{entry[2]}.{entry[3]}` has another type",
        "modify_nullable": lambda entry: f"column `{entry[2]}.{entry[3]}` differs in NOT NULL",
    }
)


@contextlib.contextmanager
def _lock(database: Database, connection: Connection, wait_s: float) -> Iterator[None]:
    deadline = time.monotonic() + wait_s
    if database.dialect == "postgresql":
        while not connection.scalar(text(f"SELECT pg_try_advisory_lock({_ADVISORY_LOCK})")):
            connection.rollback()
            _wait(deadline)
        connection.rollback()
        try:
            yield
        finally:
            connection.rollback()
            connection.execute(text(f"SELECT pg_advisory_unlock({_ADVISORY_LOCK})"))
            connection.rollback()
        return
    if fcntl is None:  # pragma: no cover - see the import
        yield
        return
    path = database.path.with_name(database.path.name + ".migrate.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                _wait(deadline)
        yield
    finally:
        os.close(descriptor)


def _wait(deadline: float) -> None:
    if time.monotonic() >= deadline:
        raise StoreUnavailable("another process is still migrating the database")
    time.sleep(_POLL_S)
