"""What budgets did. Labels hold kinds, never ids or names."""

from collections.abc import Callable

from interlock.limits.budgets.model import BudgetSpec
from interlock.telemetry.metrics import Counter, Gauge, Histogram

__all__ = ["BudgetMetrics"]


class BudgetMetrics:
    """Calls that a budget stopped, warned of, or sent to a cheaper model."""

    def __init__(self, register: Callable[[Counter | Gauge | Histogram], None]) -> None:
        self._events = Counter(
            "interlock_budget_events",
            "What budgets did: stopped or cheaper (calls), warned (once per subject and window).",
            ("kind", "unit", "event"),
        )
        register(self._events)

    def ended(self, spec: BudgetSpec, event: str) -> None:
        """Counts one."""
        self._events.child(spec.kind, spec.unit, event).inc()
