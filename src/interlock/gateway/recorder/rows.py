"""Records as table rows and as spool frames.

Runs on the writer thread, so that JSON is never encoded on the event loop. A row
is a plain tuple in column order; the records were declared in that order too.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import astuple, replace

from interlock.gateway.records import DecisionRecord, SessionRecord, StoredResponse, UsageRecord
from interlock.gateway.tables import (
    decision_labels,
    decisions,
    gateway_sessions,
    stored_responses,
    usage_records,
)

__all__ = ["Batch", "Delete", "Entry", "Row", "clean", "from_frame", "label_rows", "to_frame"]

Row: TypeAlias = tuple[Any, ...]

_LABELS_KEPT = 64
_LABEL_LENGTH = 200
_LABEL_KINDS: Mapping[str, str] = {"tags": "tag", "producers": "producer", "consumers": "consumer"}


class Delete(Struct, frozen=True):
    """Removes the stored response `id`."""

    id: str


Entry: TypeAlias = UsageRecord | DecisionRecord | SessionRecord | StoredResponse | Delete

_FRAME_TYPES: Mapping[int, type[Entry]] = {
    1: UsageRecord,
    2: DecisionRecord,
    3: SessionRecord,
    4: StoredResponse,
    5: Delete,
}
_FRAME_CODES = {kind: code for code, kind in _FRAME_TYPES.items()}
_encoder = msgspec.json.Encoder(enc_hook=str)
_encode = _encoder.encode
_decoders: Mapping[int, Callable[[bytes], Entry]] = {
    code: msgspec.json.Decoder(kind).decode for code, kind in _FRAME_TYPES.items()
}


def _columns(table: Any, *, skip: str | None = None) -> tuple[str, ...]:  # noqa: ANN401 - a Table
    return tuple(column.name for column in table.columns if column.name != skip)


USAGE_COLUMNS = _columns(usage_records, skip="id")
DECISION_COLUMNS = _columns(decisions)
LABEL_COLUMNS = _columns(decision_labels)
SESSION_COLUMNS = _columns(gateway_sessions)
RESPONSE_COLUMNS = _columns(stored_responses)

# INVARIANT: rows are built by position; a record that grew a member without its column fails here.
if (
    UsageRecord.__struct_fields__ != USAGE_COLUMNS
    or DecisionRecord.__struct_fields__ != DECISION_COLUMNS
    or StoredResponse.__struct_fields__ != RESPONSE_COLUMNS
    or SessionRecord.__struct_fields__ != tuple(c for c in SESSION_COLUMNS if c != "suffix")
):  # pragma: no cover - guards the next edit
    raise RuntimeError("records.py and tables.py differ")

_ARGS = DECISION_COLUMNS.index("args")
_JSON_FROM = DECISION_COLUMNS.index("caller")
_JSON_TO = DECISION_COLUMNS.index("basis") + 1


class Batch:
    """Rows of one transaction, by table."""

    __slots__ = ("decisions", "deletes", "labels", "responses", "sessions", "usage")

    def __init__(self) -> None:
        self.usage: list[Row] = []
        self.decisions: list[Row] = []
        self.labels: list[Row] = []
        self.sessions: dict[str, Row] = {}
        """By id: the last write of a session is the only one."""
        self.responses: dict[str, Row] = {}
        self.deletes: list[str] = []
        """Ids of stored responses; deleted before `responses` are written."""

    def add(self, entry: Entry) -> None:
        """Adds the rows of one record."""
        if isinstance(entry, UsageRecord):
            row = astuple(entry)
            self.usage.append((*row[:-1], _text(entry.dropped) if entry.dropped else None))
        elif isinstance(entry, DecisionRecord):
            self.decisions.append(_decision_row(entry))
            if entry.labels:
                self.labels.extend(label_rows(entry))
        elif isinstance(entry, SessionRecord):
            row = astuple(entry)
            self.sessions[entry.id] = (row[0], entry.id[-12:], *row[1:])
        elif isinstance(entry, StoredResponse):
            self.responses[entry.id] = astuple(entry)
        else:
            self.responses.pop(entry.id, None)
            self.deletes.append(entry.id)


def _text(value: object) -> str:
    return _encode(value).decode()


def _decision_row(entry: DecisionRecord) -> Row:
    row = astuple(entry)
    texts = [
        _encode(value).decode() if value or value is not None else None
        for value in row[_JSON_FROM:_JSON_TO]
    ]
    return (*row[:_JSON_FROM], *texts, *row[_JSON_TO:])


def label_rows(entry: DecisionRecord) -> Iterator[Row]:
    """Index rows of the labels found anywhere in `entry.labels`, each once.

    A member named `tags`, `producers` or `consumers` holds a list of labels, or an
    object with the list in `items`; a set given by what it excludes is not indexed, nor
    is what only other worlds (watched policies) see.
    """
    seen: set[tuple[str, str]] = set()
    for kind, label in _walk(entry.labels):
        if (kind, label) in seen:
            continue
        seen.add((kind, label))
        yield label, kind, entry.at, entry.id
        if len(seen) >= _LABELS_KEPT:
            return


def _walk(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            kind = _LABEL_KINDS.get(name)
            if kind is None:
                if name != "worlds":
                    yield from _walk(member)
            else:
                yield from ((kind, label[:_LABEL_LENGTH]) for label in _labels(member))
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _walk(member)


def _labels(member: object) -> Iterator[str]:
    if isinstance(member, Mapping):
        if not member.get("negated"):
            yield from _labels(member.get("items"))
    elif isinstance(member, list | tuple | set | frozenset):
        yield from (label for label in member if isinstance(label, str))


def clean(entry: Entry) -> Entry:
    """The record without what a database may refuse: NUL and lone surrogates in texts."""
    return replace(
        entry, **{name: _clean(getattr(entry, name)) for name in entry.__struct_fields__}
    )


def _clean(value: Any) -> Any:  # noqa: ANN401 - JSON values
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(name): _clean(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_clean(member) for member in value)
    return value


def to_frame(entry: Entry) -> bytes:
    """One byte for the kind, then the record as JSON."""
    code = _FRAME_CODES[type(entry)]
    try:
        return bytes((code,)) + _encode(entry)
    except UnicodeEncodeError:
        return bytes((code,)) + _encode(clean(entry))


def from_frame(frame: bytes) -> Entry:
    """What `to_frame` encoded.

    Raises:
        ValueError: not a frame of this version.
    """
    decode = _decoders.get(frame[0] if frame else 0)
    if decode is None:
        raise ValueError("unknown frame")
    return decode(frame[1:])
