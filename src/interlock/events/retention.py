"""Removes events that were kept long enough, a few at a time so that writers get in between.

Source: conversations.md section 11.9.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from interlock.events.repository import EventRepository
from interlock.storage.engine import Database

__all__ = ["Unfinished", "UnfinishedWork", "nothing_unfinished", "prune_store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What events must stay, however old: those of messages still being written."""

    keys: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset()


UnfinishedWork = Callable[[], Awaitable[Unfinished]]


async def nothing_unfinished() -> Unfinished:
    """Everything may go."""
    return Unfinished()


async def prune_store(
    database: Database, *, before_ms: int, most: int, batch: int, stay: Unfinished
) -> int:
    """Removes events from before an instant, and all but the newest `most` of each stream.

    Every batch is a transaction. Returns how many were removed.
    """
    return await _aged(database, before_ms, batch, stay) + await _crowded(
        database, most, batch, stay
    )


async def _aged(database: Database, before_ms: int, batch: int, stay: Unfinished) -> int:
    removed, after = 0, 0
    while True:
        async with database.read() as connection:
            rows = await EventRepository(connection, database.dialect).oldest(
                after_seq=after, limit=batch
            )
        # Numbers and instants go together but for a few milliseconds: the first young
        # event is where the old ones end.
        old = []
        for row in rows:
            if row.at_ms >= before_ms:
                break
            old.append(row)
        if not old:
            return removed
        after = old[-1].seq
        removed += await _remove(
            database,
            [row.seq for row in old if row.key not in stay.keys and row.stream not in stay.streams],
            batch,
        )


async def _crowded(database: Database, most: int, batch: int, stay: Unfinished) -> int:
    removed = 0
    async with database.read() as connection:
        crowded = await EventRepository(connection, database.dialect).crowded(most)
    for stream in crowded:
        if stream in stay.streams:
            continue
        async with database.read() as connection:
            rows = await EventRepository(connection, database.dialect).surplus(stream, most)
        numbers = [row.seq for row in rows if row.key not in stay.keys]
        removed += await _remove(database, numbers[::-1], batch)
    return removed


async def _remove(database: Database, numbers: Collection[int], batch: int) -> int:
    listed = list(numbers)
    for start in range(0, len(listed), batch):
        async with database.transaction() as connection:
            await EventRepository(connection, database.dialect).remove(
                listed[start : start + batch]
            )
    return len(listed)
