"""Repeated requests are answered once: the first answer is kept and given again for 24 hours."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.errors import RepeatedDifferentlyError
from interlock.conversations.tables import posted_requests

__all__ = ["KEPT_S", "Repeats", "StoredRepeats"]

KEPT_S = 86_400.0


class Repeats(Protocol):
    """Remembers answers by a key of the caller, in the transaction that makes them."""

    async def claim(
        self, connection: AsyncConnection, user_id: str, key: str, *, fingerprint: str, now: float
    ) -> Mapping[str, Any] | None:
        """The first answer of this key, or None: the key is the caller's to answer now.

        Waits for another transaction that holds the key. Raises RepeatedDifferentlyError.
        """
        ...

    async def answer(
        self, connection: AsyncConnection, user_id: str, key: str, answer: Mapping[str, Any]
    ) -> None:
        """Keeps the answer of a claimed key."""
        ...


class StoredRepeats:
    """Answers in a table of their own."""

    async def claim(
        self, connection: AsyncConnection, user_id: str, key: str, *, fingerprint: str, now: float
    ) -> Mapping[str, Any] | None:
        """See `Repeats.claim`."""
        t = posted_requests.c
        await connection.execute(delete(posted_requests).where(t.created_at < now - KEPT_S))
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        made = await connection.execute(
            insert(posted_requests)
            .values(user_id=user_id, key=key, fingerprint=fingerprint, answer=None, created_at=now)
            .on_conflict_do_nothing(index_elements=["user_id", "key"])
            .returning(t.key)
        )
        if made.first() is not None:
            return None
        query = select(t.fingerprint, t.answer).where(t.user_id == user_id, t.key == key)
        first = (await connection.execute(query)).one()
        if first.fingerprint != fingerprint or first.answer is None:
            raise RepeatedDifferentlyError
        answer: dict[str, Any] = msgspec.json.decode(first.answer)
        return answer

    async def answer(
        self, connection: AsyncConnection, user_id: str, key: str, answer: Mapping[str, Any]
    ) -> None:
        """See `Repeats.answer`."""
        t = posted_requests.c
        text = msgspec.json.encode(dict(answer)).decode()
        await connection.execute(
            update(posted_requests).where(t.user_id == user_id, t.key == key).values(answer=text)
        )
