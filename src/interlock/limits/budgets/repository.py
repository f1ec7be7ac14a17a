"""All queries about budgets."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.limits.budgets.model import Budget, BudgetSpec
from interlock.limits.budgets.tables import budget_spending, budgets
from interlock.storage.engine import Dialect

__all__ = ["BudgetRepository"]


class BudgetRepository:
    """Budgets and their spending, in the caller's transaction."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._insert = sqlite.insert if dialect == "sqlite" else postgresql.insert

    async def all(self) -> Sequence[Budget]:
        """All budgets, by kind and subject."""
        query = select(budgets).order_by(
            budgets.c.kind, budgets.c.subject, budgets.c.unit, budgets.c.period
        )
        return [_budget(row) for row in (await self._connection.execute(query)).all()]

    async def edition(self) -> tuple[int, float]:
        """Changes whenever a budget does: how many there are, and the newest change."""
        query = select(func.count(), func.coalesce(func.max(budgets.c.updated_at), 0.0))
        count, newest = (await self._connection.execute(query)).one()
        return int(count), float(newest)

    async def find(self, budget_id: str) -> Budget | None:
        """A budget by id."""
        query = select(budgets).where(budgets.c.id == budget_id)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _budget(row)

    async def of(self, spec: BudgetSpec) -> Budget | None:
        """The budget of the same subject, unit and period. Index: `uq_budgets_subject`."""
        query = select(budgets).where(
            budgets.c.kind == spec.kind,
            budgets.c.subject == spec.subject,
            budgets.c.unit == spec.unit,
            budgets.c.period == spec.period,
        )
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _budget(row)

    async def add(self, budget: Budget) -> None:
        """Stores a new budget."""
        await self._connection.execute(
            budgets.insert().values(
                id=budget.id,
                created_at=budget.created_at,
                updated_at=budget.updated_at,
                **_columns(budget.spec),
            )
        )

    async def change(self, budget: Budget) -> None:
        """Replaces what an existing budget says."""
        await self._connection.execute(
            update(budgets)
            .where(budgets.c.id == budget.id)
            .values(updated_at=budget.updated_at, **_columns(budget.spec))
        )

    async def delete(self, budget_id: str) -> None:
        """Removes a budget; what was spent stays counted."""
        await self._connection.execute(delete(budgets).where(budgets.c.id == budget_id))

    async def spent(self, names: Sequence[str]) -> Mapping[str, float]:
        """What is stored as spent, by name; absent: nothing."""
        query = select(budget_spending.c.name, budget_spending.c.spent).where(
            budget_spending.c.name.in_(names)
        )
        rows = (await self._connection.execute(query)).all()
        return {row.name: row.spent for row in rows}

    async def spend(self, name: str, amount: float, *, ends_at: float) -> float:
        """Adds to what was spent; returns the sum of all processes."""
        insert = self._insert(budget_spending).values(name=name, spent=amount, ends_at=ends_at)
        statement = insert.on_conflict_do_update(
            index_elements=[budget_spending.c.name],
            set_={"spent": budget_spending.c.spent + amount},
        ).returning(budget_spending.c.spent)
        return float((await self._connection.execute(statement)).scalar_one())

    async def purge(self, *, before: float) -> None:
        """Removes counts whose window ended before. Index: `ix_budget_spending_ends_at`."""
        await self._connection.execute(
            delete(budget_spending).where(budget_spending.c.ends_at < before)
        )


def _columns(spec: BudgetSpec) -> dict[str, Any]:
    return {
        "kind": spec.kind,
        "subject": spec.subject,
        "unit": spec.unit,
        "period": spec.period,
        "amount": spec.amount,
        "action": spec.action,
        "model": spec.model,
        "warn_at": spec.warn_at,
    }


def _budget(row: Row[Any]) -> Budget:
    return Budget(
        id=row.id,
        spec=BudgetSpec(
            kind=row.kind,
            subject=row.subject,
            unit=row.unit,
            period=row.period,
            amount=row.amount,
            action=row.action,
            model=row.model,
            warn_at=row.warn_at,
        ),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
