"""The statements of batches, with the same meaning in SQLite and PostgreSQL."""

from collections.abc import Sequence
from typing import Final

from interlock.gateway.recorder.rows import (
    DECISION_COLUMNS,
    LABEL_COLUMNS,
    RESPONSE_COLUMNS,
    SESSION_COLUMNS,
    USAGE_COLUMNS,
)

__all__ = [
    "DECISIONS",
    "DELETE",
    "FORGET",
    "KEEP_MARKS_S",
    "LABELS",
    "MARK",
    "POSITION",
    "RESPONSES",
    "SESSIONS",
    "USAGE",
    "Insert",
]

KEEP_MARKS_S: Final = 30 * 86400.0
"""How long the mark of a writer that is gone is kept."""


class Insert:
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
MARK = (
    "INSERT INTO recorder_marks (writer, position, at) VALUES (?, ?, ?) "
    "ON CONFLICT (writer) DO UPDATE SET position = excluded.position, at = excluded.at"
)
POSITION = "SELECT position FROM recorder_marks WHERE writer = ?"
FORGET = "DELETE FROM recorder_marks WHERE writer = ? OR at < ?"
DELETE = "DELETE FROM stored_responses WHERE id = ?"

USAGE = Insert("usage_records", USAGE_COLUMNS)
DECISIONS = Insert("decisions", DECISION_COLUMNS, _KEEP)
LABELS = Insert("decision_labels", LABEL_COLUMNS, _KEEP)
SESSIONS = Insert("gateway_sessions", SESSION_COLUMNS, _upsert_session(SESSION_COLUMNS))
RESPONSES = Insert("stored_responses", RESPONSE_COLUMNS, _upsert(RESPONSE_COLUMNS))
