"""All queries of session annotations."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.gateway.annotations.model import Annotation
from interlock.gateway.tables import session_annotations

__all__ = ["AnnotationRepository"]

_PURGE_ROWS = 2000
_table = session_annotations.c
_encode = msgspec.json.Encoder().encode


class AnnotationRepository:
    """Annotations within the caller's transaction. The owner of a session comes first."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(
        self, owner: str, annotations: Sequence[Annotation], *, key_id: str, account_id: str
    ) -> None:
        """Keeps new ones, in this order."""
        rows = [
            {
                "id": one.id,
                "session_id": one.session_id,
                "owner": owner,
                "account_id": account_id,
                "key_id": key_id,
                "at": one.at,
                "source": one.source,
                "size_bytes": one.size_bytes,
                "document": _encode(
                    {
                        "labels": one.labels,
                        "outcome_logs": one.outcome_logs,
                        "metadata": one.metadata,
                    }
                ).decode(),
            }
            for one in annotations
        ]
        if rows:
            await self._connection.execute(insert(session_annotations), rows)

    async def of_session(self, owner: str, session_id: str) -> list[Annotation]:
        """Those of a session, oldest first. Index: `ix_session_annotations_session_id_owner_n`."""
        query = (
            select(session_annotations)
            .where(_table.session_id == session_id, _table.owner == owner)
            .order_by(_table.n)
        )
        return [_annotation(row) for row in (await self._connection.execute(query)).all()]

    async def held(self, owner: str, session_id: str) -> tuple[int, int]:
        """How many a session has, and their size in bytes. Same index."""
        query = select(func.count(), func.coalesce(func.sum(_table.size_bytes), 0)).where(
            _table.session_id == session_id, _table.owner == owner
        )
        count, size = (await self._connection.execute(query)).one()
        return int(count), int(size)

    async def remove(self, owner: str, session_id: str, annotation_id: str) -> bool:
        """Deletes one; False when the session has none of this id."""
        done = await self._connection.execute(
            delete(session_annotations).where(
                _table.id == annotation_id,
                _table.session_id == session_id,
                _table.owner == owner,
            )
        )
        return done.rowcount == 1

    async def purge(self, *, before: float) -> bool:
        """Deletes some that are older than `before`; whether there may be more."""
        old = select(_table.n).where(_table.at < before).limit(_PURGE_ROWS)
        done = await self._connection.execute(delete(session_annotations).where(_table.n.in_(old)))
        return done.rowcount >= _PURGE_ROWS


def _annotation(row: Row[tuple[object, ...]]) -> Annotation:
    values = row._mapping
    document = msgspec.json.decode(values["document"])
    return Annotation(
        id=values["id"],
        session_id=values["session_id"],
        at=values["at"],
        source=values["source"],
        labels=document["labels"],
        outcome_logs=document["outcome_logs"],
        metadata=document["metadata"],
    )
