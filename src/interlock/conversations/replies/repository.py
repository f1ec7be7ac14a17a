"""All queries on replies, on the caller's connection."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.model import UNFINISHED
from interlock.conversations.replies.model import Asked, Journal, Trail
from interlock.conversations.replies.tables import replies
from interlock.conversations.tables import messages

__all__ = ["ReplyRepository"]


class ReplyRepository:
    """Replies."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, message_id: str, asked: Asked, *, now: float) -> None:
        """Stores a reply that was taken on."""
        await self._connection.execute(
            insert(replies).values(
                message_id=message_id,
                asked=_text(asked),
                journal=_text(Journal()),
                trail=_text(Trail(mode=asked.mode)),
                created_at=now,
            )
        )

    async def find(self, message_id: str) -> tuple[Asked, Journal, Trail] | None:
        """What is known of a reply."""
        query = select(replies).where(replies.c.message_id == message_id)
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            return None
        return (
            msgspec.json.decode(row.asked, type=Asked),
            msgspec.json.decode(row.journal, type=Journal),
            msgspec.json.decode(row.trail, type=Trail),
        )

    async def trails(self, message_ids: Collection[str]) -> Mapping[str, tuple[str, Trail]]:
        """Status and trail by message."""
        query = (
            select(messages.c.id, messages.c.status, replies.c.trail)
            .join(replies, replies.c.message_id == messages.c.id)
            .where(messages.c.id.in_(message_ids))
        )
        return {
            row.id: (row.status, msgspec.json.decode(row.trail, type=Trail))
            for row in await self._connection.execute(query)
        }

    async def save(self, message_id: str, journal: Journal, trail: Trail) -> None:
        """Stores how far a reply has come."""
        await self._connection.execute(
            update(replies)
            .where(replies.c.message_id == message_id)
            .values(journal=_text(journal), trail=_text(trail))
        )

    async def unfinished(self) -> Sequence[tuple[str, str]]:
        """(id, status) of every reply whose message has not ended, oldest first."""
        query = (
            select(messages.c.id, messages.c.status)
            .join(replies, replies.c.message_id == messages.c.id)
            .where(messages.c.status.in_(UNFINISHED))
            .order_by(messages.c.id)
        )
        return [(row.id, row.status) for row in await self._connection.execute(query)]


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
