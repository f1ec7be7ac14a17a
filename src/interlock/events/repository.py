"""All queries on the event log, on the caller's connection.

INVARIANT: whoever appends holds the counter's row until the transaction ends, so numbers
are given out in the order of commits. On SQLite the one writer is the lock.
"""

import functools
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import TextClause, delete, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.events.model import EVERYBODY, Event
from interlock.events.tables import event_counter, event_heads, events
from interlock.storage.engine import Dialect

__all__ = ["EventRepository", "encode_payload", "now_ms"]

_HEADS_AT_ONCE = 200
_IDS_AT_ONCE = 500
_NEWEST_FIRST = select(events).order_by(events.c.at_ms.desc()).limit(1)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def encode_payload(payload: Mapping[str, Any]) -> str:
    """JSON text of a payload. Raises TypeError for what is no JSON."""
    return _encode(payload).decode()


class EventRepository:
    """Events of all streams."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    async def take_numbers(self, count: int) -> int:
        """Takes the next numbers; the last of them. Holds other appends back from here on."""
        last = await self._connection.scalar(_TAKE, {"count": count})
        if last is None:
            await self._connection.execute(_FIRST)
            last = await self._connection.scalar(_TAKE, {"count": count})
        return int(last or 0)

    async def last_seq(self) -> int:
        """The last committed number."""
        return int(await self._connection.scalar(select(event_counter.c.last_seq)) or 0)

    async def stamp(self, counts: Mapping[str, int], at_ms: int) -> dict[str, int]:
        """Takes the next instants of streams; the last one of each. Needs numbers to be taken.

        Every stream gets as many as `counts` says, one millisecond apart, not before `at_ms`
        and after all earlier ones of the stream.
        """
        last: dict[str, int] = {}
        names = sorted(counts)
        for start in range(0, len(names), _HEADS_AT_ONCE):
            part = names[start : start + _HEADS_AT_ONCE]
            values: dict[str, object] = {}
            for index, name in enumerate(part):
                values[f"s{index}"] = name
                values[f"m{index}"] = at_ms + counts[name] - 1
                values[f"n{index}"] = counts[name]
            rows = await self._connection.execute(_stamp(len(part), self._dialect), values)
            last.update({row[0]: row[1] for row in rows})
        return last

    async def add(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Stores rows with numbers that were taken."""
        await self._connection.execute(_INSERT, rows)

    async def read(
        self,
        streams: Collection[str] | None,
        *,
        after_seq: int | None,
        after_ms: int | None,
        limit: int,
        reader: str | None,
    ) -> list[Event]:
        """Events in the order of their numbers; see `EventLog.read`."""
        query = select(events).order_by(events.c.seq).limit(limit)
        if streams is not None:
            query = query.where(events.c.stream.in_(sorted(streams)))
        if after_seq is not None:
            query = query.where(events.c.seq > after_seq)
        if after_ms is not None:
            query = query.where(events.c.at_ms > after_ms)
        if reader != EVERYBODY:
            allowed = events.c.audience.is_(None)
            query = query.where(
                allowed if reader is None else allowed | (events.c.audience == reader)
            )
        return [_event(row) for row in await self._connection.execute(query)]

    async def after(self, seq: int, *, limit: int) -> list[Event]:
        """Events of all streams and audiences behind a number, in order."""
        return await self.read(None, after_seq=seq, after_ms=None, limit=limit, reader=EVERYBODY)

    async def position(self, stream: str, public_id: str) -> int | None:
        """The number of a public id."""
        return await self._connection.scalar(
            select(events.c.seq).where(events.c.stream == stream, events.c.public_id == public_id)
        )

    async def last(self, stream: str) -> Event | None:
        """The newest event of a stream."""
        row = (
            await self._connection.execute(_NEWEST_FIRST.where(events.c.stream == stream))
        ).first()
        return None if row is None else _event(row)

    async def oldest(self, *, after_seq: int, limit: int) -> Sequence[Any]:
        """Rows (seq, stream, key, at_ms) in order, for pruning."""
        rows = await self._connection.execute(
            select(events.c.seq, events.c.stream, events.c.key, events.c.at_ms)
            .where(events.c.seq > after_seq)
            .order_by(events.c.seq)
            .limit(limit)
        )
        return rows.all()

    async def crowded(self, most: int) -> Sequence[str]:
        """Streams with more than `most` events."""
        rows = await self._connection.execute(
            select(events.c.stream).group_by(events.c.stream).having(func.count() > most)
        )
        return rows.scalars().all()

    async def surplus(self, stream: str, most: int) -> Sequence[Any]:
        """Rows (seq, key) of a stream besides its newest `most`, newest first."""
        rows = await self._connection.execute(
            select(events.c.seq, events.c.key)
            .where(events.c.stream == stream)
            .order_by(events.c.at_ms.desc())
            .offset(most)
            .limit(-1 if self._dialect == "sqlite" else None)
        )
        return rows.all()

    async def remove(self, numbers: Sequence[int]) -> None:
        """Deletes events by number."""
        for start in range(0, len(numbers), _IDS_AT_ONCE):
            part = numbers[start : start + _IDS_AT_ONCE]
            await self._connection.execute(delete(events).where(events.c.seq.in_(part)))

    async def forget(self, stream: str) -> None:
        """Deletes a stream that will not be written again."""
        await self._connection.execute(delete(events).where(events.c.stream == stream))
        await self._connection.execute(delete(event_heads).where(event_heads.c.stream == stream))

    async def forget_audience(self, user_id: str) -> None:
        """Deletes what only one person could read."""
        await self._connection.execute(delete(events).where(events.c.audience == user_id))


_INSERT = insert(events)
_TAKE = text(
    "UPDATE event_counter SET last_seq = last_seq + :count WHERE id = 1 RETURNING last_seq"
)
_FIRST = text("INSERT INTO event_counter (id, last_seq) VALUES (1, 0) ON CONFLICT DO NOTHING")


@functools.lru_cache(maxsize=_HEADS_AT_ONCE * 2)
def _stamp(rows: int, dialect: Dialect) -> TextClause:
    values = ", ".join(f"(:s{index}, :m{index}, :n{index})" for index in range(rows))
    larger = "max" if dialect == "sqlite" else "greatest"
    return text(
        f"INSERT INTO event_heads (stream, last_ms, count) VALUES {values} "  # noqa: S608 - numbers
        "ON CONFLICT (stream) DO UPDATE SET count = excluded.count, last_ms = "
        f"{larger}(excluded.last_ms, event_heads.last_ms + excluded.count) "
        "RETURNING stream, last_ms"
    )


def _event(row: Any) -> Event:  # noqa: ANN401 - a row of `events`
    return Event(
        seq=row.seq,
        stream=row.stream,
        id=row.public_id,
        type=row.type,
        payload=_decode(row.payload),
        audience=row.audience,
        at_ms=row.at_ms,
        key=row.key,
    )
