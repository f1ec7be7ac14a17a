"""One transaction per batch, straight on the driver: SQLite and PostgreSQL.

SQLite takes many rows in one statement: the interpreter lock is released once per
statement and not once per row, so the writer neither starves nor stutters the
event loop. PostgreSQL takes `COPY` for what is only appended.

INVARIANT: a batch and the mark that says so are one transaction. After a lost
connection the mark tells whether the batch got through.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import psycopg
from psycopg import sql

from interlock.gateway.recorder.rows import (
    DECISION_COLUMNS,
    LABEL_COLUMNS,
    RESPONSE_COLUMNS,
    SESSION_COLUMNS,
    USAGE_COLUMNS,
    Batch,
    Row,
)
from interlock.storage.engine import Database

__all__ = ["PostgresSink", "Sink", "SinkRejectedError", "SinkUnavailableError", "SqliteSink"]

T = TypeVar("T")

_KEEP_MARKS_S = 30 * 86400.0
_CHUNKS = (64, 16, 4, 1)
_CHECKPOINT_PAGES = 8000
"""Pages of 4 KiB in the log before they go to the database. Index pages of random ids are
written again and again: the longer the log, the more writes of a page become one."""
_LARGE_CHUNKS = (256, *_CHUNKS)
_LARGE_FROM = 400


class SinkUnavailableError(Exception):
    """Raised when the store cannot be written now; the same batch may be tried again."""


class SinkRejectedError(Exception):
    """Raised when the store refuses a row of the batch; nothing of it was written."""


class Sink(Protocol):
    """Where batches go; used by one thread."""

    def write(self, batch: Batch, *, writer: str, position: int, durable: bool) -> None:
        """Writes the batch and moves the mark of `writer`, in one transaction.

        `durable`: safe against a power cut when it returns. Raises
        SinkUnavailableError or SinkRejectedError.
        """
        ...

    def position(self, writer: str) -> int:
        """The mark of `writer`; 0 when it has none. Raises SinkUnavailableError."""
        ...

    def forget(self, writer: str) -> None:
        """Removes the mark of `writer` and marks nobody moved for a month."""
        ...

    def close(self) -> None:
        """Closes the connection; the next call opens a new one."""
        ...


def sink_for(database: Database) -> Sink:
    """The sink of a database."""
    return SqliteSink(database) if database.dialect == "sqlite" else PostgresSink(database)


class _Insert:
    """`INSERT` of a table for any number of rows at a time, with its conflict clause."""

    __slots__ = ("_head", "_row", "_tail", "_texts")

    def __init__(self, table: str, columns: Sequence[str], tail: str = "") -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        self._head = f"INSERT INTO {table} ({names}) VALUES "  # noqa: S608 - constants
        self._row = "(" + ",".join("?" * len(columns)) + ")"
        self._tail = tail
        self._texts: dict[int, str] = {}

    def text(self, rows: int) -> str:
        """The statement for that many rows; the same string object each time."""
        found = self._texts.get(rows)
        if found is None:
            found = self._head + ",".join([self._row] * rows) + self._tail
            self._texts[rows] = found
        return found


def _upsert(columns: Sequence[str], guard: str = "") -> str:
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name != "id")
    return f" ON CONFLICT (id) DO UPDATE SET {changes}{guard}"


def _upsert_session(columns: Sequence[str]) -> str:
    """Replaces an older state and counts one more write, whatever version was handed in."""
    counted = 'excluded."version"', 'gateway_sessions."version" + 1'
    return _upsert(columns, _NEWER).replace(*counted)


_NEWER = " WHERE excluded.updated_at >= gateway_sessions.updated_at"
_KEEP = " ON CONFLICT DO NOTHING"
_MARK = (
    "INSERT INTO recorder_marks (writer, position, at) VALUES (?, ?, ?) "
    "ON CONFLICT (writer) DO UPDATE SET position = excluded.position, at = excluded.at"
)
_POSITION = "SELECT position FROM recorder_marks WHERE writer = ?"
_FORGET = "DELETE FROM recorder_marks WHERE writer = ? OR at < ?"
_DELETE = "DELETE FROM stored_responses WHERE id = ?"

_USAGE = _Insert("usage_records", USAGE_COLUMNS)
_DECISIONS = _Insert("decisions", DECISION_COLUMNS, _KEEP)
_LABELS = _Insert("decision_labels", LABEL_COLUMNS, _KEEP)
_SESSIONS = _Insert("gateway_sessions", SESSION_COLUMNS, _upsert_session(SESSION_COLUMNS))
_RESPONSES = _Insert("stored_responses", RESPONSE_COLUMNS, _upsert(RESPONSE_COLUMNS))


class SqliteSink:
    """Batches into SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._full_sync = False

    def write(self, batch: Batch, *, writer: str, position: int, durable: bool) -> None:
        """See `Sink.write`."""

        def work(connection: sqlite3.Connection) -> None:
            if durable != self._full_sync:
                connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._full_sync = durable
            connection.execute("BEGIN IMMEDIATE")
            _insert(connection, _USAGE, batch.usage)
            _insert(connection, _DECISIONS, batch.decisions)
            _insert(connection, _LABELS, batch.labels)
            _insert(connection, _SESSIONS, list(batch.sessions.values()))
            for gone in batch.deletes:
                connection.execute(_DELETE, (gone,))
            _insert(connection, _RESPONSES, list(batch.responses.values()))
            connection.execute(_MARK, (writer, position, time.time()))
            connection.execute("COMMIT")

        self._run(work)

    def position(self, writer: str) -> int:
        """See `Sink.position`."""

        def work(connection: sqlite3.Connection) -> int:
            found = connection.execute(_POSITION, (writer,)).fetchone()
            return int(found[0]) if found else 0

        return self._run(work)

    def forget(self, writer: str) -> None:
        """See `Sink.forget`."""
        self._run(lambda c: c.execute(_FORGET, (writer, time.time() - _KEEP_MARKS_S)))

    def close(self) -> None:
        """See `Sink.close`."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._database.connect_sqlite()
                self._connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
                self._full_sync = False
            return work(self._connection)
        except (sqlite3.OperationalError, sqlite3.DatabaseError, OSError) as error:
            rejected = isinstance(
                error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError
            )
            self._abandon(close=not rejected)
            if rejected:
                raise SinkRejectedError(str(error)) from error
            raise SinkUnavailableError(str(error)) from error
        except (UnicodeEncodeError, OverflowError, sqlite3.Error) as error:
            self._abandon(close=False)
            raise SinkRejectedError(type(error).__name__) from error

    def _abandon(self, *, close: bool) -> None:
        if self._connection is None:
            return
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            close = True
        if close:
            self.close()


def _insert(connection: sqlite3.Connection, insert: _Insert, rows: list[Row]) -> None:
    """Inserts rows in statements as large as fit, each a prepared one."""
    start, left = 0, len(rows)
    for size in _LARGE_CHUNKS if left >= _LARGE_FROM else _CHUNKS:
        while left >= size:
            values = [value for row in rows[start : start + size] for value in row]
            connection.execute(insert.text(size), values)
            start, left = start + size, left - size


class PostgresSink:
    """Batches into PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: psycopg.Connection[Row] | None = None

    def write(self, batch: Batch, *, writer: str, position: int, durable: bool) -> None:
        """See `Sink.write`."""
        try:
            self._write(batch, writer, position, durable=durable, copy=True)
        except SinkRejectedError as error:
            if not isinstance(error.__cause__, psycopg.errors.UniqueViolation):
                raise
            # A decision that is already there; `COPY` cannot skip it.
            self._write(batch, writer, position, durable=durable, copy=False)

    def position(self, writer: str) -> int:
        """See `Sink.position`."""

        def work(cursor: psycopg.Cursor[Row]) -> int:
            found = cursor.execute(_percent(_POSITION), (writer,)).fetchone()
            return int(found[0]) if found else 0

        return self._run(work)

    def forget(self, writer: str) -> None:
        """See `Sink.forget`."""
        values = (writer, time.time() - _KEEP_MARKS_S)
        self._run(lambda cursor: cursor.execute(_percent(_FORGET), values))

    def close(self) -> None:
        """See `Sink.close`."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _write(
        self, batch: Batch, writer: str, position: int, *, durable: bool, copy: bool
    ) -> None:
        append = _copy if copy else _execute_many

        def work(cursor: psycopg.Cursor[Row]) -> None:
            if not durable:
                cursor.execute("SET LOCAL synchronous_commit TO OFF")
            append(cursor, _USAGE, "usage_records", USAGE_COLUMNS, batch.usage)
            append(cursor, _DECISIONS, "decisions", DECISION_COLUMNS, batch.decisions)
            append(cursor, _LABELS, "decision_labels", LABEL_COLUMNS, batch.labels)
            if batch.sessions:
                # One order for all writers, or two of them could wait for each other.
                rows = [batch.sessions[name] for name in sorted(batch.sessions)]
                cursor.executemany(_percent(_SESSIONS.text(1)), rows)
            for gone in batch.deletes:
                cursor.execute(_percent(_DELETE), (gone,))
            if batch.responses:
                cursor.executemany(_percent(_RESPONSES.text(1)), list(batch.responses.values()))
            cursor.execute(_percent(_MARK), (writer, position, time.time()))

        self._run(work)

    def _run(self, work: Callable[[psycopg.Cursor[Row]], T]) -> T:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = self._database.connect_postgresql()
            with self._connection.transaction(), self._connection.cursor() as cursor:
                return work(cursor)
        except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
            self.close()
            raise SinkUnavailableError(str(error)) from error
        except psycopg.errors.UndefinedTable as error:
            raise SinkUnavailableError(str(error)) from error
        except (psycopg.Error, UnicodeEncodeError, OverflowError) as error:
            raise SinkRejectedError(type(error).__name__) from error


def _percent(statement: str) -> bytes:
    return statement.replace("?", "%s").encode()


def _copy(
    cursor: psycopg.Cursor[Row],
    _insert_of: _Insert,
    table: str,
    columns: Sequence[str],
    rows: list[Row],
) -> None:
    if not rows:
        return
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _execute_many(
    cursor: psycopg.Cursor[Row],
    insert: _Insert,
    _table: str,
    _columns: Sequence[str],
    rows: list[Row],
) -> None:
    if rows:
        cursor.executemany(_percent(insert.text(1)), rows)
