"""Wires budgets: where they are counted, and what the ledger knows of a subject.

Part of the composition root. In memory by default; with `store.redis_url` all processes of a
store reserve and count together.
"""

from collections.abc import Callable
from dataclasses import dataclass

from interlock.app_store import Store, redis_client
from interlock.gateway.repository import UsageRepository
from interlock.identity.model import KeyInfo
from interlock.kernel.clock import Clock
from interlock.limits.budgets.admin import BudgetAdmin
from interlock.limits.budgets.metrics import BudgetMetrics
from interlock.limits.budgets.model import Kind
from interlock.limits.budgets.service import Budgets
from interlock.limits.budgets.shared import RedisTally
from interlock.limits.budgets.tally import MemoryTally, Tally
from interlock.telemetry.metrics import GatewayMetrics

__all__ = ["BudgetParts", "build_budgets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetParts:
    """Budgets, and where they are counted."""

    budgets: Budgets
    """Run `budgets.run()` in a task group as long as calls are made."""
    admin: BudgetAdmin
    tally: Tally

    async def close(self) -> None:
        """Lets go of Redis."""
        await self.tally.close()


def build_budgets(
    store: Store,
    metrics: GatewayMetrics,
    clock: Clock,
    *,
    refused: Callable[[KeyInfo, str, float, float], None] | None = None,
) -> BudgetParts:
    """The budgets of a server; nothing is connected before the first call that has one."""
    usage = UsageRepository(store.database)
    client = redis_client(store.settings)
    tally: Tally = MemoryTally()
    if client is not None:
        tally = RedisTally(client, prefix=f"{store.settings.store.redis_prefix}:budget:")

    async def ledger(kind: Kind, subject: str, since: float) -> tuple[float, float] | None:
        return await usage.of_subject(kind, subject, since=since)

    budgets = Budgets(
        store.database,
        tally,
        clock,
        ledger=ledger,
        metrics=BudgetMetrics(metrics.register),
        key_month=store.settings.limits.monthly_cost,
        refused=refused,
    )
    admin = BudgetAdmin(store.database, store.audit, clock)
    return BudgetParts(budgets=budgets, admin=admin, tally=tally)
