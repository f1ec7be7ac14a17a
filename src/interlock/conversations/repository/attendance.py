"""Queries of read marks, presence and invitations."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, and_, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.model import Invite, Presence, PresenceStatus
from interlock.conversations.repository.messages import visible_unread
from interlock.conversations.tables import (
    conversation_invites,
    conversation_members,
    messages,
    presences,
    read_marks,
)

__all__ = ["AttendanceRepository", "InviteRepository"]

_members, _invites = conversation_members, conversation_invites


class AttendanceRepository:
    """Who has read how far and who is there, on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert

    async def mark(self, conversation_id: str, root_id: str, user_id: str, seq: int) -> None:
        """Moves a read mark forward; it never moves back."""
        statement = self._insert(read_marks).values(
            root_id=root_id, user_id=user_id, conversation_id=conversation_id, seq=seq
        )
        await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=["root_id", "user_id"],
                set_={"seq": statement.excluded.seq},
                where=read_marks.c.seq < statement.excluded.seq,
            )
        )

    async def unread_of_thread(
        self, conversation_id: str, root_id: str, *, user_id: str | None = None
    ) -> dict[str, int]:
        """Unread messages of a thread per person; everyone, or only one."""
        mark = func.coalesce(read_marks.c.seq, 0)
        query = (
            select(_members.c.user_id, func.count(messages.c.id))
            .select_from(_members)
            .outerjoin(
                read_marks,
                and_(read_marks.c.root_id == root_id, read_marks.c.user_id == _members.c.user_id),
            )
            .outerjoin(
                messages,
                and_(
                    messages.c.root_id == root_id,
                    messages.c.seq > _members.c.joined_seq,
                    visible_unread(_members.c.user_id, mark),
                ),
            )
            .where(_members.c.conversation_id == conversation_id, _members.c.kind == "user")
            .group_by(_members.c.user_id)
            .order_by(_members.c.user_id)
        )
        if user_id is not None:
            query = query.where(_members.c.user_id == user_id)
        return {row[0]: int(row[1]) for row in (await self._connection.execute(query)).all()}

    async def unread_of_user(self, conversation_id: str, user_id: str) -> dict[str, int]:
        """Unread messages of a person per thread that has some or that they have read."""
        marks = select(read_marks.c.root_id).where(
            read_marks.c.conversation_id == conversation_id, read_marks.c.user_id == user_id
        )
        found = dict.fromkeys((await self._connection.execute(marks)).scalars(), 0)
        query = self._unread(user_id).where(messages.c.conversation_id == conversation_id)
        rows = await self._connection.execute(
            query.add_columns(messages.c.root_id).group_by(messages.c.root_id)
        )
        return found | {row[1]: int(row[0]) for row in rows.all()}

    async def unread_totals(
        self, conversation_ids: Collection[str], user_id: str
    ) -> dict[str, int]:
        """Unread messages of a person per conversation."""
        query = self._unread(user_id).where(messages.c.conversation_id.in_(conversation_ids))
        rows = await self._connection.execute(
            query.add_columns(messages.c.conversation_id).group_by(messages.c.conversation_id)
        )
        return {row[1]: int(row[0]) for row in rows.all()}

    def _unread(self, user_id: str) -> Select[Any]:
        return (
            select(func.count(messages.c.id))
            .join(
                _members,
                and_(
                    _members.c.conversation_id == messages.c.conversation_id,
                    _members.c.user_id == user_id,
                ),
            )
            .outerjoin(
                read_marks,
                and_(read_marks.c.root_id == messages.c.root_id, read_marks.c.user_id == user_id),
            )
            .where(
                messages.c.seq > _members.c.joined_seq,
                visible_unread(_members.c.user_id, func.coalesce(read_marks.c.seq, 0)),
            )
        )

    async def presence(self, user_ids: Collection[str]) -> dict[str, Presence]:
        """Who of these was ever here, and how they are now."""
        query = select(presences).where(presences.c.user_id.in_(user_ids))
        rows = (await self._connection.execute(query)).all()
        return {
            row.user_id: Presence(
                user_id=row.user_id, status=row.status, last_seen_at=row.last_seen_at
            )
            for row in rows
        }

    async def announced_at(self, user_id: str) -> float | None:
        """When others were last told about a person."""
        query = select(presences.c.announced_at).where(presences.c.user_id == user_id)
        return (await self._connection.execute(query)).scalar_one_or_none()

    async def seen(self, presence: Presence, *, announced_at: float) -> None:
        """Writes how a person is now."""
        values = asdict(presence) | {"announced_at": announced_at}
        statement = self._insert(presences).values(**values)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["user_id"], set_=values)
        )

    async def still_here(self, user_ids: Collection[str], *, at: float) -> None:
        """Notes that people hold a stream open."""
        await self._connection.execute(
            update(presences).where(presences.c.user_id.in_(user_ids)).values(last_seen_at=at)
        )

    async def quiet(
        self, status: PresenceStatus, *, before: float, limit: int = 500
    ) -> list[Presence]:
        """People of a status not seen since. Index: `ix_presences_status_last_seen_at`."""
        query = (
            select(presences)
            .where(presences.c.status == status, presences.c.last_seen_at < before)
            .order_by(presences.c.last_seen_at)
            .limit(limit)
        )
        rows = (await self._connection.execute(query)).all()
        return [
            Presence(user_id=row.user_id, status=row.status, last_seen_at=row.last_seen_at)
            for row in rows
        ]


class InviteRepository:
    """Invitations, on one connection. Tokens come hashed."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, invite: Invite, *, token_hash: str) -> None:
        """Stores a new invitation."""
        await self._connection.execute(
            _invites.insert().values(**asdict(invite), token_hash=token_hash)
        )

    async def by_token(self, token_hash: str) -> Invite | None:
        """The invitation of a token."""
        query = select(_invites).where(_invites.c.token_hash == token_hash)
        row = (await self._connection.execute(query)).mappings().one_or_none()
        if row is None:
            return None
        return Invite(**{name: row[name] for name in Invite.__slots__})

    async def listed(self, conversation_id: str) -> list[Invite]:
        """Invitations of a conversation, newest first."""
        query = (
            select(_invites)
            .where(_invites.c.conversation_id == conversation_id)
            .order_by(_invites.c.created_at.desc())
        )
        rows = (await self._connection.execute(query)).mappings().all()
        return [Invite(**{name: row[name] for name in Invite.__slots__}) for row in rows]

    async def close(self, invite_id: str, *, at: float, used_by: str | None = None) -> None:
        """Ends an invitation: used by somebody, or revoked."""
        values = {"revoked_at": at} if used_by is None else {"used_at": at, "used_by": used_by}
        await self._connection.execute(
            update(_invites).where(_invites.c.id == invite_id).values(**values)
        )

    async def purge(self, *, before: float) -> None:
        """Removes invitations that ended long ago."""
        await self._connection.execute(delete(_invites).where(_invites.c.expires_at < before))
