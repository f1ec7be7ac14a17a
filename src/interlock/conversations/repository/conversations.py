"""Queries of conversations and their members."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.model import Conversation, Member, MemberRole
from interlock.conversations.tables import (
    conversation_members,
    conversations,
    message_texts,
    messages,
    read_marks,
    threads,
)

__all__ = ["ConversationRepository"]

_members = conversation_members


class ConversationRepository:
    """Conversations and who is in them, on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, conversation: Conversation) -> None:
        """Stores a new conversation."""
        await self._connection.execute(conversations.insert().values(**asdict(conversation)))

    async def find(self, conversation_id: str) -> Conversation | None:
        """One conversation."""
        query = select(conversations).where(conversations.c.id == conversation_id)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _conversation(row)

    async def change(self, conversation_id: str, values: Mapping[str, Any]) -> None:
        """Writes some columns."""
        await self._connection.execute(
            update(conversations).where(conversations.c.id == conversation_id).values(**values)
        )

    async def lock(self, conversation_id: str) -> None:
        """Holds back other changes of members and state until the transaction ends."""
        await self._connection.execute(
            update(conversations)
            .where(conversations.c.id == conversation_id)
            .values(last_seq=conversations.c.last_seq)
        )

    async def advance(self, conversation_id: str, *, now: float) -> tuple[int, float]:
        """The number and the instant of the next message; locks the conversation's row.

        The instant is `now`, or a millisecond behind the last activity when that is later:
        clients page through threads by it and ids are made of it, so no two share one.
        """
        query = (
            update(conversations)
            .where(conversations.c.id == conversation_id)
            .values(last_seq=conversations.c.last_seq + 1)
            .returning(conversations.c.last_seq, conversations.c.last_activity_at)
        )
        row = (await self._connection.execute(query)).one()
        at = max(now, round(row[1] + 0.001, 3))
        await self.change(conversation_id, {"last_activity_at": at})
        return int(row[0]), at

    async def touch(self, conversation_id: str, root_id: str, at: float) -> None:
        """Notes activity in a thread."""
        changed = await self._connection.execute(
            update(threads).where(threads.c.root_id == root_id).values(last_activity_at=at)
        )
        if not changed.rowcount:
            await self._connection.execute(
                threads.insert().values(
                    root_id=root_id, conversation_id=conversation_id, last_activity_at=at
                )
            )

    async def remove(self, conversation_id: str) -> None:
        """Deletes it with everything in it; the event log is its owner's business."""
        if self._connection.dialect.name == "sqlite":
            await self._connection.execute(
                delete(message_texts).where(message_texts.c.conversation_id == conversation_id)
            )
        await self._connection.execute(
            delete(conversations).where(conversations.c.id == conversation_id)
        )

    async def of_user(
        self,
        user_id: str,
        *,
        title: str | None,
        archived: bool | None,
        below: tuple[float, str] | None,
        limit: int,
    ) -> list[Conversation]:
        """Conversations of a member, newest activity first; `below`: (activity, id) to go on from.

        Index: `ix_conversation_members_user_id`.
        """
        c = conversations.c
        query = (
            select(conversations)
            .join(_members, _members.c.conversation_id == c.id)
            .where(_members.c.user_id == user_id)
            .order_by(c.last_activity_at.desc(), c.id.desc())
            .limit(limit)
        )
        if title:
            query = query.where(func.lower(c.title).contains(title.lower(), autoescape=True))
        if archived is not None:
            query = query.where(c.archived_at.is_not(None) if archived else c.archived_at.is_(None))
        if below is not None:
            at, last = below
            query = query.where(
                or_(c.last_activity_at < at, and_(c.last_activity_at == at, c.id < last))
            )
        return [_conversation(row) for row in (await self._connection.execute(query)).all()]

    async def ids_of_user(self, user_id: str) -> list[str]:
        """Ids of every conversation a person is in."""
        query = select(_members.c.conversation_id).where(_members.c.user_id == user_id)
        return list((await self._connection.execute(query)).scalars())

    async def member(self, conversation_id: str, user_id: str) -> Member | None:
        """One member."""
        query = select(_members).where(
            _members.c.conversation_id == conversation_id, _members.c.user_id == user_id
        )
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else Member(**row._mapping)

    async def members(self, conversation_ids: Collection[str]) -> list[Member]:
        """Members of some conversations, in the order they joined."""
        query = (
            select(_members)
            .where(_members.c.conversation_id.in_(conversation_ids))
            .order_by(_members.c.joined_at, _members.c.user_id)
        )
        return [Member(**row._mapping) for row in (await self._connection.execute(query)).all()]

    async def add_member(self, member: Member) -> None:
        """Lets somebody in."""
        await self._connection.execute(_members.insert().values(**asdict(member)))

    async def set_role(self, conversation_id: str, user_id: str, role: MemberRole) -> None:
        """Changes the role of a member."""
        await self._connection.execute(
            update(_members)
            .where(_members.c.conversation_id == conversation_id, _members.c.user_id == user_id)
            .values(role=role)
        )

    async def remove_member(self, conversation_id: str, user_id: str) -> None:
        """Lets somebody go, with what they had read."""
        for table in (_members, read_marks):
            await self._connection.execute(
                delete(table).where(
                    table.c.conversation_id == conversation_id, table.c.user_id == user_id
                )
            )

    async def owners(self, conversation_id: str) -> int:
        """How many people own it."""
        query = select(func.count()).where(
            _members.c.conversation_id == conversation_id, _members.c.role == "owner"
        )
        return int((await self._connection.execute(query)).scalar_one())

    async def counts(self, conversation_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Conversation id -> (threads, messages that are neither deleted nor queued)."""
        m = messages.c
        query = (
            select(m.conversation_id, func.count(func.distinct(m.root_id)), func.count())
            .where(
                m.conversation_id.in_(conversation_ids),
                m.deleted_at.is_(None),
                m.status != "queued",
            )
            .group_by(m.conversation_id)
        )
        found = (await self._connection.execute(query)).all()
        return {row[0]: (int(row[1]), int(row[2])) for row in found}


def _conversation(row: Row[Any]) -> Conversation:
    return Conversation(**row._mapping)
