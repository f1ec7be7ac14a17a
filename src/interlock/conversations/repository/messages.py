"""Queries of messages, threads, chunks and the words of messages."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.excerpts import excerpt
from interlock.conversations.model import Chunk, Growing, Mention, Message, ThreadSummary
from interlock.conversations.tables import (
    conversation_members,
    message_chunks,
    message_texts,
    message_versions,
    messages,
    threads,
)

__all__ = ["MessageRepository", "visible_unread"]

_DOCUMENTS = ("usage", "error", "metadata", "mentions")
_EXCERPT_READ = 1000
_WORD = re.compile(r"\w+")


class MessageRepository:
    """Messages and threads, on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"

    async def add(self, message: Message) -> None:
        """Stores a new message and its words."""
        row = asdict(message)
        for name in _DOCUMENTS:
            row[name] = _encoded(row[name])
        await self._connection.execute(messages.insert().values(**row))
        if message.content:
            await self._index(message.id, message.conversation_id, message.content)

    async def find(self, message_id: str) -> Message | None:
        """One message."""
        query = select(messages).where(messages.c.id == message_id)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _message(row)

    async def change(self, message: Message, values: Mapping[str, Any]) -> None:
        """Writes some columns; documents not yet encoded. Keeps the words in step."""
        row = {k: _encoded(v) if k in _DOCUMENTS else v for k, v in values.items()}
        await self._connection.execute(
            update(messages).where(messages.c.id == message.id).values(**row)
        )
        if "content" in values or "deleted_at" in values:
            gone = values.get("deleted_at", message.deleted_at) is not None
            content = "" if gone else str(values.get("content", message.content))
            await self._index(message.id, message.conversation_id, content)

    async def tree(
        self, root_id: str, *, after: str | None, limit: int, pending: bool
    ) -> list[Message]:
        """Messages of a thread in path order, strictly after a path."""
        query = select(messages).where(messages.c.root_id == root_id)
        if after is not None:
            query = query.where(messages.c.path > after)
        if not pending:
            query = query.where(messages.c.status != "queued")
        return await self._all(query.order_by(messages.c.path).limit(limit))

    async def listed(
        self,
        conversation_id: str,
        *,
        root_id: str | None = None,
        before: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> list[Message]:
        """Messages in creation order: the newest below `before`, or the first above `after`.

        Index: `uq_messages_conversation_id_seq`.
        """
        query = select(messages).where(
            messages.c.conversation_id == conversation_id, messages.c.status != "queued"
        )
        if root_id is not None:
            query = query.where(messages.c.root_id == root_id)
        if after is not None:
            return await self._all(
                query.where(messages.c.seq > after).order_by(messages.c.seq).limit(limit)
            )
        if before is not None:
            query = query.where(messages.c.seq < before)
        found = await self._all(query.order_by(messages.c.seq.desc()).limit(limit))
        return found[::-1]

    async def chain(self, message: Message) -> list[Message]:
        """The message and its ancestors, root first."""
        ids = [
            f"{one[1:9]}-{one[9:13]}-{one[13:17]}-{one[17:21]}-{one[21:]}"
            for one in message.path.split(".")
        ]
        found = []
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            found += await self._all(select(messages).where(messages.c.id.in_(some)))
        return sorted(found, key=lambda one: one.depth)

    async def newest(self, conversation_id: str, root_id: str | None) -> Message | None:
        """The newest complete message of a thread, or of the thread active last."""
        if root_id is None:
            latest = (
                select(threads.c.root_id)
                .where(threads.c.conversation_id == conversation_id)
                .order_by(threads.c.last_activity_at.desc(), threads.c.root_id.desc())
            )
            root_id = (await self._connection.execute(latest.limit(1))).scalar_one_or_none()
            if root_id is None:
                return None
        query = (
            select(messages)
            .where(
                messages.c.root_id == root_id,
                messages.c.deleted_at.is_(None),
                messages.c.status == "complete",
            )
            .order_by(messages.c.seq.desc())
            .limit(1)
        )
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _message(row)

    async def last_seq(self, root_id: str) -> int:
        """Number of the newest message of a thread. Index: `ix_messages_root_id_seq`."""
        query = select(func.max(messages.c.seq)).where(messages.c.root_id == root_id)
        return int((await self._connection.execute(query)).scalar_one() or 0)

    async def seq_of_path(self, root_id: str, path: str) -> int | None:
        """Number of the message with a path."""
        query = select(messages.c.seq).where(messages.c.root_id == root_id, messages.c.path == path)
        return (await self._connection.execute(query)).scalar_one_or_none()

    async def unfinished(self, conversation_ids: Collection[str]) -> list[Message]:
        """Replies whose text still grows. Index: `ix_messages_status_conversation_id`."""
        return await self._all(
            select(messages)
            .where(
                messages.c.status == "streaming",
                messages.c.conversation_id.in_(conversation_ids),
            )
            .order_by(messages.c.seq)
        )

    async def streaming(self) -> list[str]:
        """Ids of all replies whose text grows. Index: `ix_messages_status_conversation_id`."""
        query = select(messages.c.id).where(messages.c.status == "streaming")
        return list((await self._connection.execute(query)).scalars())

    async def summaries(
        self,
        conversation_id: str,
        *,
        below: float | None = None,
        since: float | None = None,
        root_id: str | None = None,
        limit: int,
    ) -> list[ThreadSummary]:
        """Threads, newest activity first; `below` and `since` bound the last activity."""
        m, t, inner = messages.c, threads.c, messages.alias()
        visible = (
            select(func.count())
            .select_from(inner)
            .where(
                inner.c.root_id == t.root_id,
                inner.c.deleted_at.is_(None),
                inner.c.status != "queued",
            )
            .scalar_subquery()
        )
        people = (
            select(func.count())
            .where(conversation_members.c.conversation_id == conversation_id)
            .scalar_subquery()
        )
        query = (
            select(
                t.root_id,
                t.last_activity_at,
                func.substr(m.content, 1, _EXCERPT_READ),
                m.author_user_id,
                m.created_at,
                m.deleted_at,
                visible,
                people,
            )
            .join(messages, m.id == t.root_id)
            .where(t.conversation_id == conversation_id)
            .order_by(t.last_activity_at.desc(), t.root_id.desc())
            .limit(limit)
        )
        if below is not None:
            query = query.where(t.last_activity_at < below)
        if since is not None:
            query = query.where(t.last_activity_at >= since)
        if root_id is not None:
            query = query.where(t.root_id == root_id)
        return [_summary(row) for row in (await self._connection.execute(query)).all()]

    async def chunks(self, message_id: str, *, start: int, limit: int) -> list[Chunk]:
        """Pieces of a reply from index `start`."""
        query = (
            select(message_chunks)
            .where(message_chunks.c.message_id == message_id, message_chunks.c.idx >= start)
            .order_by(message_chunks.c.idx)
            .limit(limit)
        )
        return [Chunk(**row._mapping) for row in (await self._connection.execute(query)).all()]

    async def add_chunks(self, chunks: Sequence[Chunk]) -> None:
        """Stores pieces of replies; a piece that is there already stays as it is."""
        if not chunks:
            return
        names = "message_id, idx, content, created_at"
        await self._connection.execute(
            text(
                f"INSERT INTO message_chunks ({names}) "  # noqa: S608 - constant names
                "VALUES (:message_id, :idx, :content, :created_at) ON CONFLICT DO NOTHING"
            ),
            [asdict(chunk) for chunk in chunks],
        )

    async def next_chunk(self, message_id: str) -> int:
        """The next free chunk index of a reply."""
        query = select(func.max(message_chunks.c.idx)).where(
            message_chunks.c.message_id == message_id
        )
        newest = (await self._connection.execute(query)).scalar_one()
        return 0 if newest is None else int(newest) + 1

    async def text(self, message_id: str) -> str:
        """All pieces of a reply as one text."""
        query = (
            select(message_chunks.c.content)
            .where(message_chunks.c.message_id == message_id)
            .order_by(message_chunks.c.idx)
        )
        return "".join((await self._connection.execute(query)).scalars())

    async def growing(self, message_id: str) -> Growing | None:
        """How far a reply is, without its text."""
        newest = (
            select(func.max(message_chunks.c.idx))
            .where(message_chunks.c.message_id == message_id)
            .scalar_subquery()
        )
        query = select(messages.c.status, messages.c.made_by, newest).where(
            messages.c.id == message_id
        )
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            return None
        status, made_by, idx = row
        return Growing(status=status, made_by=made_by, next=0 if idx is None else int(idx) + 1)

    async def grow(self, message_id: str, text: str) -> None:
        """Writes the text of a reply so far; its words are indexed when it ends."""
        await self._connection.execute(
            update(messages)
            .where(messages.c.id == message_id)
            .values(content=text, status="streaming")
        )

    async def keep_version(self, values: Mapping[str, Any]) -> None:
        """Keeps what a message said before it was changed."""
        await self._connection.execute(message_versions.insert().values(**values))

    async def search(
        self,
        user_id: str,
        words: str,
        *,
        conversation_id: str | None,
        below: str | None,
        limit: int,
    ) -> list[Message]:
        """Messages a person may read that contain all words, newest first; `below`: an id."""
        asked = _WORD.findall(words)
        if not asked:
            return []
        readable = select(conversation_members.c.conversation_id).where(
            conversation_members.c.user_id == user_id
        )
        query = select(messages).where(
            messages.c.conversation_id.in_(readable),
            messages.c.deleted_at.is_(None),
            messages.c.status != "queued",
            self._contains(asked),
        )
        if conversation_id is not None:
            query = query.where(messages.c.conversation_id == conversation_id)
        if below is not None:
            query = query.where(messages.c.id < below)
        return await self._all(query.order_by(messages.c.id.desc()).limit(limit))

    def _contains(self, words: Sequence[str]) -> ColumnElement[bool]:
        if self._sqlite:
            quoted = " ".join(f'"{word}"' for word in words)
            found = select(message_texts.c.message_id).where(
                text("message_texts MATCH :words").bindparams(bindparam("words", quoted))
            )
            return messages.c.id.in_(found)
        configuration: ColumnElement[str] = literal_column("'simple'")
        return func.to_tsvector(configuration, messages.c.content).op("@@")(
            func.plainto_tsquery(configuration, " ".join(words))
        )

    async def _index(self, message_id: str, conversation_id: str, content: str) -> None:
        """SQLite keeps words in a table of their own; PostgreSQL in an index."""
        if not self._sqlite:
            return
        await self._connection.execute(
            delete(message_texts).where(message_texts.c.message_id == message_id)
        )
        if content:
            await self._connection.execute(
                message_texts.insert().values(
                    message_id=message_id, conversation_id=conversation_id, content=content
                )
            )

    async def _all(self, query: Select[Any]) -> list[Message]:
        return [_message(row) for row in (await self._connection.execute(query)).all()]


def visible_unread(user_id: ColumnElement[str], above: ColumnElement[int]) -> ColumnElement[bool]:
    """Messages that count as unread for a person above a mark. Source: conversations.md, 9."""
    m = messages.c
    return and_(
        m.seq > above,
        m.deleted_at.is_(None),
        m.role.in_(("user", "assistant")),
        m.status != "queued",
        or_(m.author_user_id.is_(None), m.author_user_id != user_id),
    )


def _encoded(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _message(row: Row[Any]) -> Message:
    values = dict(row._mapping)
    for name in _DOCUMENTS:
        found = values[name]
        values[name] = None if found is None else msgspec.json.decode(found)
    values["mentions"] = tuple(Mention(**one) for one in values["mentions"])
    return Message(**values)


def _summary(row: Sequence[Any]) -> ThreadSummary:
    root_id, active, content, author, created, deleted, count, people = row
    return ThreadSummary(
        root_id=root_id,
        root_excerpt="" if deleted is not None else excerpt(content),
        root_author=author,
        created_at=created,
        last_activity_at=active,
        message_count=int(count),
        participant_count=int(people),
    )
