"""All queries of approvals. Each takes the connection of the caller's transaction."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.gateway.approvals.model import Approval
from interlock.gateway.approvals.tables import approvals

__all__ = ["ApprovalRepository"]

_DOCUMENTS = ("arguments", "labels", "lineage", "edited_arguments")


class ApprovalRepository:
    """Approvals, on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, values: Mapping[str, Any]) -> None:
        """Stores a new question; `values` are columns, documents not yet encoded."""
        row = {k: _encoded(v) if k in _DOCUMENTS else v for k, v in values.items()}
        await self._connection.execute(approvals.insert().values(**row))

    async def find(self, approval_id: str) -> Approval | None:
        """One approval."""
        query = select(approvals).where(approvals.c.id == approval_id)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _approval(row)

    async def about(self, decision_id: str, *, account_id: str) -> Approval | None:
        """The question about a decision. Index: `ix_approvals_account_id_asked_at`."""
        query = (
            select(approvals)
            .where(approvals.c.account_id == account_id, approvals.c.decision_id == decision_id)
            .limit(1)
        )
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _approval(row)

    async def listed(
        self, *, state: str | None, account_id: str | None, limit: int
    ) -> list[Approval]:
        """Approvals, newest first. Index: `ix_approvals_state_asked_at`."""
        query = select(approvals).order_by(approvals.c.asked_at.desc()).limit(limit)
        if state is not None:
            query = query.where(approvals.c.state == state)
        if account_id is not None:
            query = query.where(approvals.c.account_id == account_id)
        return [_approval(row) for row in (await self._connection.execute(query)).all()]

    async def close(self, approval_id: str, values: Mapping[str, Any]) -> bool:
        """Answers a pending approval; False when it is pending no more."""
        row = {k: _encoded(v) if k in _DOCUMENTS else v for k, v in values.items()}
        query = (
            update(approvals)
            .where(approvals.c.id == approval_id, approvals.c.state == "pending")
            .values(**row)
        )
        return (await self._connection.execute(query)).rowcount == 1

    async def forget(self, approval_id: str) -> None:
        """Drops the values of an answered approval."""
        query = (
            update(approvals)
            .where(approvals.c.id == approval_id)
            .values(arguments=None, edited_arguments=None, lineage=_encoded({}))
        )
        await self._connection.execute(query)

    async def expire(self, *, before: float) -> None:
        """Closes what nobody waits for any longer: questions whose server went away.

        Their values go: who would have kept them, or dropped them, is not there.
        """
        query = (
            update(approvals)
            .where(approvals.c.state == "pending", approvals.c.expires_at < before)
            .values(state="expired", arguments=None, lineage=_encoded({}))
        )
        await self._connection.execute(query)

    async def purge(self, *, before: float) -> None:
        """Removes approvals asked before `before` (epoch seconds)."""
        await self._connection.execute(delete(approvals).where(approvals.c.asked_at < before))


def _encoded(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _approval(row: Row[Any]) -> Approval:
    values = dict(row._mapping)
    for name in _DOCUMENTS:
        text = values[name]
        values[name] = None if text is None else msgspec.json.decode(text)
    return Approval(**values)
