"""The connection pool, the unit of work, and raw connections for the batch writer.

SQLite runs in WAL mode with foreign keys on; writers take the lock at once
(`BEGIN IMMEDIATE`), so that two of them wait for each other instead of failing
half-way. PostgreSQL is reached with psycopg 3.

Refuses in-memory SQLite: several connections must see one database.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from interlock.storage.errors import StoreDamagedError, StoreUnavailable, StoreUrlError

if TYPE_CHECKING:
    import psycopg

__all__ = ["Database", "Dialect", "after_commit", "after_rollback", "in_time", "unreachable"]

Dialect = Literal["sqlite", "postgresql"]

_WRITE = "interlock_write"
_FOLLOWING = "interlock_following"
_BUSY_TIMEOUT_MS = 5000
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}",
    "PRAGMA temp_store=MEMORY",
)


@dataclass(slots=True)
class _Following:
    """What is to be called when a transaction has ended."""

    committed: list[Callable[[], None]] = field(default_factory=list)
    rolled_back: list[Callable[[], None]] = field(default_factory=list)


class Database:
    """One relational store: async transactions for services, raw connections for writers."""

    def __init__(self, url: str, *, pool_size: int = 5, connect_timeout_s: float = 5.0) -> None:
        """Describes the store; connects to nothing yet.

        Raises:
            StoreUrlError: the URL names no supported store.
        """
        self.url = _normalise(url)
        self.dialect: Dialect = (
            "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        )
        self._pool_size = pool_size
        self._connect_timeout_s = connect_timeout_s
        self._engine: AsyncEngine | None = None

    @property
    def path(self) -> Path:
        """The database file. Only for SQLite."""
        assert self.url.database is not None  # noqa: S101 - _normalise saw to it
        return Path(self.url.database)

    def describe(self) -> str:
        """The URL without its password, for messages and logs."""
        return self.url.render_as_string(hide_password=True)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A unit of work: committed when the block ends, rolled back when it raises.

        `after_commit` and `after_rollback` add what follows it. A commit whose answer is
        lost counts as rolled back.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        following = _Following()
        committed = False
        try:
            async with self._connect(write=True) as connection:
                await connection.execution_options(**{_FOLLOWING: following})
                async with connection.begin():
                    yield connection
                committed = True
                for callback in following.committed:
                    callback()
        finally:
            if not committed:
                for callback in following.rolled_back:
                    callback()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A consistent view for queries; takes no write lock.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        async with self._connect(write=False) as connection, connection.begin():
            yield connection

    async def exclusive(self, connection: AsyncConnection, purpose: str) -> None:
        """Holds other transactions with this `purpose` back until the connection's one ends."""
        if self.dialect == "postgresql":  # on SQLite there is one writer anyway
            await connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtext(:purpose))"), {"purpose": purpose}
            )

    @contextlib.contextmanager
    def migration_connection(self) -> Iterator[Connection]:
        """A synchronous connection outside any pool, for schema changes.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        engine = self._sync_engine()
        try:
            with (
                unreachable(),
                engine.connect().execution_options(**{_WRITE: True}) as connection,
            ):
                yield connection
        finally:
            engine.dispose()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A synchronous connection that sees one state of everything, for long reads.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        engine = self._sync_engine()
        options: dict[str, Any] = {_WRITE: False}
        if self.dialect == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"
        try:
            with (
                unreachable(),
                engine.connect().execution_options(**options) as connection,
                connection.begin(),
            ):
                yield connection
        finally:
            engine.dispose()

    def connect_sqlite(self) -> sqlite3.Connection:
        """A raw connection in autocommit mode, usable from the thread that owns it."""
        self._make_folder()
        connection = sqlite3.connect(
            self.path,
            timeout=_BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
        )
        for pragma in _SQLITE_PRAGMAS:
            connection.execute(pragma)
        return connection

    def connect_postgresql(self) -> "psycopg.Connection[tuple[Any, ...]]":
        """A raw connection in autocommit mode, usable from the thread that owns it."""
        # psycopg takes 9 MB of memory, which a server on SQLite does without.
        import psycopg  # noqa: PLC0415

        conninfo = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(conninfo, autocommit=True, **self._postgresql_args())

    async def close(self) -> None:
        """Closes the pool; the database can be used again afterwards."""
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    @contextlib.asynccontextmanager
    async def _connect(self, *, write: bool) -> AsyncIterator[AsyncConnection]:
        if self._engine is None:
            self._engine = self._async_engine()
        with unreachable():
            async with self._engine.connect() as connection:
                await connection.execution_options(**{_WRITE: write})
                yield connection

    def _async_engine(self) -> AsyncEngine:
        if self.dialect == "sqlite":
            self._make_folder()
            engine = create_async_engine(
                self.url.set(drivername="sqlite+aiosqlite"),
                pool_size=self._pool_size,
                pool_timeout=self._connect_timeout_s,
                connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000},
            )
            _configure_sqlite(engine.sync_engine)
            return engine
        return create_async_engine(
            self.url.set(drivername="postgresql+psycopg"),
            pool_size=self._pool_size,
            max_overflow=0,
            pool_timeout=self._connect_timeout_s,
            pool_pre_ping=True,
            connect_args=self._postgresql_args(),
        )

    def _sync_engine(self) -> Engine:
        if self.dialect == "sqlite":
            self._make_folder()
            engine = create_engine(self.url.set(drivername="sqlite+pysqlite"))
            _configure_sqlite(engine)
            return engine
        return create_engine(
            self.url.set(drivername="postgresql+psycopg"), connect_args=self._postgresql_args()
        )

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(
                f"the folder `{self.path.parent}` cannot be made: {error.strerror}"
            ) from error

    def _postgresql_args(self) -> dict[str, Any]:
        return {
            "connect_timeout": max(2, int(self._connect_timeout_s)),
            "application_name": "interlock",
            # A vanished server is noticed in seconds, not after the kernel's default of minutes.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        }


def after_commit(connection: AsyncConnection, callback: Callable[[], None]) -> None:
    """Calls back once the transaction of `Database.transaction` is committed; must not raise."""
    _following(connection).committed.append(callback)


def after_rollback(connection: AsyncConnection, callback: Callable[[], None]) -> None:
    """Calls back once the transaction did not come about, or nobody knows; must not raise."""
    _following(connection).rolled_back.append(callback)


def _following(connection: AsyncConnection) -> _Following:
    assert connection.sync_connection is not None  # noqa: S101 - it was given out connected
    found = connection.sync_connection.get_execution_options().get(_FOLLOWING)
    if not isinstance(found, _Following):
        raise TypeError("only a connection of `Database.transaction` can be followed")
    return found


@contextlib.asynccontextmanager
async def in_time(wait_s: float) -> AsyncIterator[None]:
    """Turns a store that does not answer within `wait_s` into `StoreUnavailable`."""
    try:
        async with asyncio.timeout(wait_s):
            yield
    except TimeoutError as error:
        raise StoreUnavailable from error


@contextlib.contextmanager
def unreachable() -> Iterator[None]:
    """Turns "the store is away" into `StoreUnavailable`; a wrong statement passes unchanged."""
    try:
        yield
    except DBAPIError as error:
        if _is_damage(error):
            raise StoreDamagedError from error
        if not _is_outage(error):
            raise
        raise StoreUnavailable(reason=_said(error)) from error
    except PoolTimeoutError as error:
        raise StoreUnavailable from error


def _is_damage(error: DBAPIError) -> bool:
    name = getattr(error.orig, "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _said(error: DBAPIError) -> str:
    """The driver's own words, in one line and without SQL."""
    first, _, _ = str(error.orig).strip().partition("\n")
    return first


def _is_outage(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    original = error.orig
    if isinstance(original, sqlite3.OperationalError):
        # The same class covers a misspelt column; only these mean "not now".
        name = getattr(original, "sqlite_errorname", "") or ""
        return name.startswith(
            ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL")
        )
    return isinstance(error, OperationalError | InterfaceError)


def _normalise(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreUrlError(
            "the database URL cannot be read",
            hint="write `sqlite:///PATH` or `postgresql://USER@HOST/NAME`",
        ) from None  # the cause quotes the URL, and with it the password
    backend = parsed.drivername.split("+")[0]
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.query:
            raise StoreUrlError(
                "a SQLite database must be a plain file", hint="write `sqlite:///PATH`"
            )
        return parsed.set(drivername="sqlite")
    if backend in {"postgresql", "postgres"}:
        if not parsed.database:
            raise StoreUrlError(
                "the database URL names no database",
                hint="write `postgresql://USER@HOST/NAME`",
            )
        return parsed.set(drivername="postgresql")
    raise StoreUrlError(
        f"`{backend}` is not a supported database",
        hint="use SQLite (`sqlite:///PATH`) or PostgreSQL (`postgresql://...`)",
    )


def _configure_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _pragmas(dbapi_connection: DBAPIConnection, _record: object) -> None:
        # The driver must not begin transactions behind our back: `_begin` does.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        for pragma in _SQLITE_PRAGMAS:
            cursor.execute(pragma)
        # Who waits for a commit may rely on it, also after a power cut.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
