"""All queries on replies, on the caller's connection."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.model import UNFINISHED, Message
from interlock.conversations.replies.model import Asked, Journal, Trail
from interlock.conversations.replies.tables import replies
from interlock.conversations.repository.conversations import ConversationRepository
from interlock.conversations.repository.messages import MessageRepository
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

    async def unfinished(self) -> Sequence[str]:
        """Every reply whose message has not ended, oldest first."""
        query = (
            select(messages.c.id)
            .join(replies, replies.c.message_id == messages.c.id)
            .where(messages.c.status.in_(UNFINISHED))
            .order_by(messages.c.id)
        )
        return list((await self._connection.execute(query)).scalars())

    async def take(self, message_id: str, process: str) -> Message | None:
        """Makes a reply this process's to write; the message as it was before, if there is one."""
        message = await MessageRepository(self._connection).find(message_id)
        if message is None:
            return None
        await ConversationRepository(self._connection).lock(message.conversation_id)
        message = await MessageRepository(self._connection).find(message_id)
        if message is not None and message.unfinished:
            await self._connection.execute(
                update(messages).where(messages.c.id == message_id).values(made_by=process)
            )
        return message

    async def preceded(self, message: Message) -> bool:
        """Whether an older reply of the same agent in the same thread has not ended.

        Index: `ix_messages_root_id_seq`.
        """
        query = (
            select(messages.c.id)
            .join(replies, replies.c.message_id == messages.c.id)
            .where(
                messages.c.root_id == message.root_id,
                messages.c.agent_id == message.agent_id,
                messages.c.seq < message.seq,
                messages.c.status.in_(UNFINISHED),
            )
            .limit(1)
        )
        return (await self._connection.execute(query)).first() is not None


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
