"""What administrators do with budgets: set, change, remove, look."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from interlock.identity.audit import AuditLog
from interlock.identity.model import Actor
from interlock.identity.repository import IdentityRepository
from interlock.kernel.clock import Clock
from interlock.kernel.ids import new_uuid
from interlock.limits.budgets.errors import BudgetNotFoundError, InvalidBudgetError
from interlock.limits.budgets.model import ACTIONS, KINDS, PERIODS, UNITS, Budget, BudgetSpec
from interlock.limits.budgets.repository import BudgetRepository
from interlock.storage.engine import Database

__all__ = ["BudgetAdmin", "checked"]

_SUBJECT_CHARS: Final = 128
_MODEL_CHARS: Final = 200
_MOST: Final = 1e15


class BudgetAdmin:
    """Every change is in the audit log; servers notice it within seconds."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    async def all(self) -> Sequence[Budget]:
        """All budgets, by kind and subject."""
        async with self._database.read() as connection:
            return await BudgetRepository(connection, self._database.dialect).all()

    async def one(self, budget_id: str) -> Budget:
        """A budget. Raises BudgetNotFoundError."""
        async with self._database.read() as connection:
            found = await BudgetRepository(connection, self._database.dialect).find(budget_id)
        if found is None:
            raise BudgetNotFoundError(budget_id)
        return found

    async def put(self, actor: Actor, spec: BudgetSpec) -> Budget:
        """Sets the budget of a subject, unit and period; the one that was there is changed.

        Raises:
            InvalidBudgetError: it says something that is no budget.
        """
        spec = checked(spec)
        async with self._database.transaction() as connection:
            repository = BudgetRepository(connection, self._database.dialect)
            before = await repository.of(spec)
            now = self._clock.now().timestamp()
            if before is None:
                budget = Budget(id=new_uuid(), spec=spec, created_at=now, updated_at=now)
                await repository.add(budget)
            else:
                budget = replace(before, spec=spec, updated_at=now)
                await repository.change(budget)
            await self._audit.append(
                IdentityRepository(connection),
                actor,
                "budget.set",
                budget.id,
                before=None if before is None else _told(before),
                after=_told(budget),
            )
        return budget

    async def remove(self, actor: Actor, budget_id: str) -> None:
        """Takes a budget away. Raises BudgetNotFoundError."""
        async with self._database.transaction() as connection:
            repository = BudgetRepository(connection, self._database.dialect)
            before = await repository.find(budget_id)
            if before is None:
                raise BudgetNotFoundError(budget_id)
            await repository.delete(budget_id)
            await self._audit.append(
                IdentityRepository(connection),
                actor,
                "budget.remove",
                budget_id,
                before=_told(before),
            )


def checked(spec: BudgetSpec) -> BudgetSpec:
    """The budget with its texts trimmed. Raises InvalidBudgetError."""
    for name, value, known in (
        ("kind", spec.kind, KINDS),
        ("unit", spec.unit, UNITS),
        ("period", spec.period, PERIODS),
        ("action", spec.action, ACTIONS),
    ):
        if value not in known:
            raise InvalidBudgetError(f"`{name}` must be one of {', '.join(known)}", field=name)
    subject = spec.subject.strip()
    if not subject or len(subject) > _SUBJECT_CHARS or not subject.isprintable():
        raise InvalidBudgetError(
            f"`subject` must have 1 to {_SUBJECT_CHARS} characters", field="subject"
        )
    if not math.isfinite(spec.amount) or not 0 < spec.amount <= _MOST:
        raise InvalidBudgetError("`amount` must be above 0", field="amount")
    if not math.isfinite(spec.warn_at) or not 0 < spec.warn_at <= 1:
        raise InvalidBudgetError("`warn_at` must be above 0 and at most 1", field="warn_at")
    model = (spec.model or "").strip() or None
    if (model is None) == (spec.action == "cheaper"):
        raise InvalidBudgetError(
            "`model` belongs to action `cheaper`, which needs one", field="model"
        )
    if model is not None and (len(model) > _MODEL_CHARS or "," in model):
        raise InvalidBudgetError("`model` must be the name of one model", field="model")
    return replace(spec, subject=subject, model=model)


def _told(budget: Budget) -> dict[str, Any]:
    return asdict(budget.spec)
