"""All queries on attachments, on the caller's connection."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.attachments.model import Attachment
from interlock.conversations.attachments.tables import attachments

__all__ = ["AttachmentRepository"]


class AttachmentRepository:
    """Attachments."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, attachment: Attachment) -> None:
        """Stores a new one."""
        values = {name: getattr(attachment, name) for name in attachments.c.keys()}  # noqa: SIM118 - columns
        await self._connection.execute(insert(attachments).values(**values))

    async def find(self, attachment_id: str) -> Attachment | None:
        """One by id."""
        query = select(attachments).where(attachments.c.id == attachment_id)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _attachment(row)

    async def of_conversation(self, conversation_id: str) -> Sequence[Attachment]:
        """Those of a conversation, oldest first."""
        columns = attachments.c
        query = (
            select(attachments)
            .where(columns.conversation_id == conversation_id)
            .order_by(columns.created_at, columns.id)
        )
        return [_attachment(row) for row in await self._connection.execute(query)]

    async def of_messages(self, message_ids: Collection[str]) -> Sequence[Attachment]:
        """Those that some messages carry, oldest first. Index: `ix_attachments_message_id`."""
        columns = attachments.c
        query = (
            select(attachments)
            .where(columns.message_id.in_(message_ids))
            .order_by(columns.created_at, columns.id)
        )
        return [_attachment(row) for row in await self._connection.execute(query)]

    async def pending(self) -> Sequence[str]:
        """Ids of those whose text was not taken yet. Index: `ix_attachments_text_state`."""
        query = select(attachments.c.id).where(attachments.c.text_state == "pending")
        return list((await self._connection.execute(query)).scalars())

    async def change(self, attachment_id: str, values: Mapping[str, Any]) -> None:
        """Sets columns of one."""
        await self._connection.execute(
            update(attachments).where(attachments.c.id == attachment_id).values(**values)
        )

    async def carry(self, attachment_id: str, message_id: str) -> bool:
        """Gives one that no message carries to a message; False: it has one."""
        changed = await self._connection.execute(
            update(attachments)
            .where(attachments.c.id == attachment_id, attachments.c.message_id.is_(None))
            .values(message_id=message_id)
        )
        return changed.rowcount == 1

    async def delete(self, attachment_id: str) -> None:
        """Removes one."""
        await self._connection.execute(delete(attachments).where(attachments.c.id == attachment_id))

    async def total(self, conversation_id: str) -> int:
        """Bytes of all files of a conversation."""
        query = select(func.sum(attachments.c.size_bytes)).where(
            attachments.c.conversation_id == conversation_id
        )
        return int((await self._connection.execute(query)).scalar_one() or 0)


def _attachment(row: Row[Any]) -> Attachment:
    return Attachment(**row._mapping)
