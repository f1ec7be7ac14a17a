"""Queries that count decisions: by a column, over time, and how long they took."""

from typing import Literal

from msgspec import Struct
from sqlalchemy import Float, Integer, cast, func, select

from interlock.gateway.repository import DecisionFilter, conditions
from interlock.gateway.tables import decisions
from interlock.storage.engine import Database

__all__ = ["Tally", "TallyBy", "TallyRepository"]

TallyBy = Literal["tool", "rule", "key", "policy"]
_LATENCY_ROWS = 2_000


class Tally(Struct, frozen=True, kw_only=True):
    """One group of decisions."""

    name: str
    """Empty: those without a value, e.g. decided by no rule."""
    line: int | None
    """Of a rule: its line where it last decided."""
    policy: str | None
    key_id: str | None
    """Of a rule or tool: one of the keys it decided for."""
    count: int
    newest: float
    """Seconds since the epoch."""


class TallyRepository:
    """Counts over the decision log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by(self, wanted: DecisionFilter, by: TallyBy, *, limit: int) -> list[Tally]:
        """Groups with the most decisions."""
        table = decisions.c
        column = {
            "tool": table.tool,
            "rule": table.rule,
            "key": table.key_id,
            "policy": table.policy,
        }[by]
        count = func.count().label("count")
        query = (
            select(
                column.label("name"),
                func.max(table.rule_line).label("line"),
                func.max(table.policy).label("policy"),
                func.max(table.key_id).label("key_id"),
                count,
                func.max(table.at).label("newest"),
            )
            .where(*conditions(wanted))
            .group_by(column)
            .order_by(count.desc(), column)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Tally(
                name=row.name or "",
                line=row.line,
                policy=row.policy,
                key_id=row.key_id,
                count=row[4],
                newest=row.newest,
            )
            for row in rows
        ]

    async def series(
        self, wanted: DecisionFilter, *, step_s: float
    ) -> list[tuple[float, str, int]]:
        """Start of a step, verdict, count; in order of time."""
        step = cast(func.floor(decisions.c.at / cast(step_s, Float)), Integer).label("step")
        query = (
            select(step, decisions.c.verdict, func.count().label("count"))
            .where(*conditions(wanted))
            .group_by(step, decisions.c.verdict)
            .order_by(step)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [(row.step * step_s, row.verdict, row[2]) for row in rows]

    async def latency(self, wanted: DecisionFilter) -> tuple[float, float] | None:
        """Median and 99th percentile of the newest ones, in seconds."""
        query = (
            select(decisions.c.duration_s)
            .where(*conditions(wanted))
            .order_by(decisions.c.at.desc(), decisions.c.id.desc())
            .limit(_LATENCY_ROWS)
        )
        async with self._database.read() as connection:
            found = sorted((await connection.execute(query)).scalars())
        if not found:
            return None
        return found[len(found) // 2], found[min(len(found) - 1, len(found) * 99 // 100)]
