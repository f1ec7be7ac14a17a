"""What a budget is, and which stretch of time it counts. Frozen values, no I/O."""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

__all__ = [
    "ACTIONS",
    "EVERY",
    "KINDS",
    "PERIODS",
    "UNITS",
    "Action",
    "Budget",
    "BudgetSpec",
    "BudgetState",
    "Estimate",
    "Kind",
    "Period",
    "Unit",
    "Window",
    "window_of",
]

Kind = Literal["key", "user", "group", "account"]
Unit = Literal["usd", "tokens"]
Period = Literal["day", "month"]
Action = Literal["stop", "warn", "cheaper"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
UNITS: Final[tuple[Unit, ...]] = get_args(Unit)
PERIODS: Final[tuple[Period, ...]] = get_args(Period)
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)

EVERY: Final = "*"
"""As a subject: each one of its kind that has no budget of its own for that unit and period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSpec:
    """What an administrator says of a budget."""

    kind: Kind
    subject: str
    """Id of the key, person or account, name of the group, or `EVERY`."""
    unit: Unit
    period: Period
    amount: float
    """US dollars, or tokens (input and output)."""
    action: Action = "stop"
    """What happens to calls when it is used up."""
    model: str | None = None
    """For `cheaper`: the model that is asked instead."""
    warn_at: float = 0.8
    """Share of the amount from which callers are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A budget. A key's own monthly limit is one as well; it has the id `key`."""

    id: str
    spec: BudgetSpec
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """How far a budget is used, for one subject and the window of now."""

    budget: Budget
    subject: str
    spent: float
    reserved: float
    starts_at: float
    resets_at: float

    @property
    def left(self) -> float:
        """What neither was spent nor is reserved; never below zero."""
        return max(0.0, self.budget.spec.amount - self.spent - self.reserved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a call may use."""

    usd: float
    tokens: float

    def of(self, unit: Unit) -> float:
        """The amount in that unit."""
        return self.usd if unit == "usd" else self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A day or a month, in UTC."""

    starts_at: float
    ends_at: float
    name: str
    """`2026-11` or `2026-11-27`."""
    words: str
    """`November 2026` or `2026-11-27`."""


def window_of(period: Period, now: datetime) -> Window:
    """The window `now` (aware) lies in."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        name = f"{day:%Y-%m-%d}"
        return Window(
            starts_at=day.timestamp(),
            ends_at=(day + timedelta(days=1)).timestamp(),
            name=name,
            words=name,
        )
    first = day.replace(day=1)
    later = (first + timedelta(days=32)).replace(day=1)
    return Window(
        starts_at=first.timestamp(),
        ends_at=later.timestamp(),
        name=f"{first:%Y-%m}",
        words=f"{calendar.month_name[first.month]} {first.year}",
    )
