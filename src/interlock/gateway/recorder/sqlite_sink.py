"""Batches into SQLite, straight on the driver.

Many rows go in one statement: the interpreter lock is released once per statement and not
once per row, so the writer neither starves nor stutters the event loop.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from interlock.gateway.recorder.rows import Batch, Row
from interlock.gateway.recorder.sink import SinkRejectedError, SinkUnavailableError
from interlock.gateway.recorder.statements import (
    DECISIONS,
    DELETE,
    FORGET,
    KEEP_MARKS_S,
    LABELS,
    MARK,
    POSITION,
    RESPONSES,
    SESSIONS,
    USAGE,
    Insert,
)
from interlock.storage.engine import Database

__all__ = ["SqliteSink"]

T = TypeVar("T")

_CHUNKS = (64, 16, 4, 1)
_CHECKPOINT_PAGES = 8000
"""Pages of 4 KiB in the log before they go to the database. Index pages of random ids are
written again and again: the longer the log, the more writes of a page become one."""
_LARGE_CHUNKS = (256, *_CHUNKS)
_LARGE_FROM = 400


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
            _insert(connection, USAGE, batch.usage)
            _insert(connection, DECISIONS, batch.decisions)
            _insert(connection, LABELS, batch.labels)
            _insert(connection, SESSIONS, list(batch.sessions.values()))
            for gone in batch.deletes:
                connection.execute(DELETE, (gone,))
            _insert(connection, RESPONSES, list(batch.responses.values()))
            connection.execute(MARK, (writer, position, time.time()))
            connection.execute("COMMIT")

        self._run(work)

    def position(self, writer: str) -> int:
        """See `Sink.position`."""

        def work(connection: sqlite3.Connection) -> int:
            found = connection.execute(POSITION, (writer,)).fetchone()
            return int(found[0]) if found else 0

        return self._run(work)

    def forget(self, writer: str) -> None:
        """See `Sink.forget`."""
        self._run(lambda c: c.execute(FORGET, (writer, time.time() - KEEP_MARKS_S)))

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


def _insert(connection: sqlite3.Connection, insert: Insert, rows: list[Row]) -> None:
    """Inserts rows in statements as large as fit, each a prepared one."""
    start, left = 0, len(rows)
    for size in _LARGE_CHUNKS if left >= _LARGE_FROM else _CHUNKS:
        while left >= size:
            values = [value for row in rows[start : start + size] for value in row]
            connection.execute(insert.text(size), values)
            start, left = start + size, left - size
