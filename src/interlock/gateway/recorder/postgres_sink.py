"""Batches into PostgreSQL, straight on the driver: `COPY` for what is only appended."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg
from psycopg import sql

from interlock.gateway.recorder.rows import (
    DECISION_COLUMNS,
    LABEL_COLUMNS,
    USAGE_COLUMNS,
    Batch,
    Row,
)
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

__all__ = ["PostgresSink"]

T = TypeVar("T")


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
            found = cursor.execute(_percent(POSITION), (writer,)).fetchone()
            return int(found[0]) if found else 0

        return self._run(work)

    def forget(self, writer: str) -> None:
        """See `Sink.forget`."""
        values = (writer, time.time() - KEEP_MARKS_S)
        self._run(lambda cursor: cursor.execute(_percent(FORGET), values))

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
            append(cursor, USAGE, "usage_records", USAGE_COLUMNS, batch.usage)
            append(cursor, DECISIONS, "decisions", DECISION_COLUMNS, batch.decisions)
            append(cursor, LABELS, "decision_labels", LABEL_COLUMNS, batch.labels)
            if batch.sessions:
                # One order for all writers, or two of them could wait for each other.
                rows = [batch.sessions[name] for name in sorted(batch.sessions)]
                cursor.executemany(_percent(SESSIONS.text(1)), rows)
            for gone in batch.deletes:
                cursor.execute(_percent(DELETE), (gone,))
            if batch.responses:
                cursor.executemany(_percent(RESPONSES.text(1)), list(batch.responses.values()))
            cursor.execute(_percent(MARK), (writer, position, time.time()))

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
    _insert_of: Insert,
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
    insert: Insert,
    _table: str,
    _columns: Sequence[str],
    rows: list[Row],
) -> None:
    if rows:
        cursor.executemany(_percent(insert.text(1)), rows)
