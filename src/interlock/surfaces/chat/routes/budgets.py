"""Budgets, for administrators: beside the rate limits, under the same switch.

An addition of ours to section 15 of conversations.md.
"""

from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from interlock.conversations.views import instant
from interlock.identity.context import Context
from interlock.limits.budgets.admin import BudgetAdmin
from interlock.limits.budgets.model import EVERY, Budget, BudgetSpec, BudgetState
from interlock.limits.budgets.service import Budgets
from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.envelope import json_answer
from interlock.surfaces.chat.parts import ERRORS, Id
from interlock.surfaces.chat.routes.limits import NotAdministratorError, NotSwitchedOnError

__all__ = ["budgets_router"]

_BUDGETS = "/api/admin/limits/budgets"


class BudgetIn(BaseModel):
    """A budget; the one of the same subject, unit and period is replaced."""

    kind: Literal["key", "user", "group", "account"]
    subject: Annotated[str, Field(min_length=1, max_length=128)]
    unit: Literal["usd", "tokens"]
    period: Literal["day", "month"]
    amount: Annotated[float, Field(gt=0, le=1e15)]
    action: Literal["stop", "warn", "cheaper"] = "stop"
    model: Annotated[str, Field(max_length=200)] | None = None
    warn_at: Annotated[float, Field(gt=0, le=1)] = 0.8


class BudgetOut(BudgetIn):
    """A budget; `state` is absent for those of every subject of a kind."""

    id: str
    created_at: str
    updated_at: str
    state: dict[str, Any] | None = None


class _Guard(Protocol):
    async def __call__(self, ctx: Caller) -> Context: ...


def budgets_router(admin: BudgetAdmin, budgets: Budgets, *, enabled: bool) -> APIRouter:
    """The routes; while they are not `enabled` each of them is 404 for everybody."""

    async def switched_on() -> None:
        if not enabled:
            raise NotSwitchedOnError

    async def administrator(ctx: Caller) -> Context:
        if not ctx.is_admin or (ctx.scopes and "admin" not in ctx.scopes):
            raise NotAdministratorError
        return ctx

    router = APIRouter(responses=ERRORS, tags=["limits"], dependencies=[Depends(switched_on)])
    _routes(router, admin, budgets, administrator)
    return router


def _routes(router: APIRouter, admin: BudgetAdmin, budgets: Budgets, guard: _Guard) -> None:
    async def shown(budget: Budget) -> dict[str, Any]:
        spec = budget.spec
        state = None if spec.subject == EVERY else await budgets.state(budget, spec.subject)
        return _told(budget, state)

    @router.get(_BUDGETS, responses={200: {"model": list[BudgetOut]}})
    async def list_budgets(ctx: Annotated[Context, Depends(guard)]) -> Response:
        """All budgets, by kind and subject, with how far each is used now."""
        del ctx
        return json_answer([await shown(one) for one in await admin.all()])

    @router.put(_BUDGETS, responses={200: {"model": BudgetOut}})
    async def set_budget(ctx: Annotated[Context, Depends(guard)], body: BudgetIn) -> Response:
        """Sets the budget of a subject, unit and period; it holds within seconds."""
        made = await admin.put(ctx.actor, BudgetSpec(**body.model_dump()))
        await budgets.load()
        return json_answer(await shown(made))

    @router.get(_BUDGETS + "/{id}", responses={200: {"model": BudgetOut}})
    async def one_budget(
        id: Id,  # noqa: A002 - as the other routes name it
        ctx: Annotated[Context, Depends(guard)],
    ) -> Response:
        """One budget, with how far it is used now."""
        del ctx
        return json_answer(await shown(await admin.one(id.lower())))

    @router.delete(_BUDGETS + "/{id}", status_code=204)
    async def remove_budget(
        id: Id,  # noqa: A002 - as the other routes name it
        ctx: Annotated[Context, Depends(guard)],
    ) -> Response:
        """Takes a budget away; what was spent stays counted."""
        await admin.remove(ctx.actor, id.lower())
        await budgets.load()
        return Response(status_code=204)


def _told(budget: Budget, state: BudgetState | None) -> dict[str, Any]:
    spec = budget.spec
    told: dict[str, Any] = {
        "id": budget.id,
        "kind": spec.kind,
        "subject": spec.subject,
        "unit": spec.unit,
        "period": spec.period,
        "amount": spec.amount,
        "action": spec.action,
        "model": spec.model,
        "warn_at": spec.warn_at,
        "created_at": instant(budget.created_at),
        "updated_at": instant(budget.updated_at),
        "state": None,
    }
    if state is not None:
        told["state"] = {
            "spent": state.spent,
            "reserved": state.reserved,
            "left": state.left,
            "resets_at": instant(state.resets_at),
        }
    return told
