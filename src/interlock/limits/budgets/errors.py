"""What a caller over a budget is told, and an administrator who describes none."""

from typing import Any, ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.limits.budgets.model import EVERY, BudgetSpec, Window

__all__ = [
    "BudgetNotFoundError",
    "BudgetReservedError",
    "BudgetSpentError",
    "InvalidBudgetError",
    "told",
]

_RESERVED_S = 2.0


def told(spec: BudgetSpec, window: Window) -> str:
    """A budget in words, for who is limited by it: no id of anybody else is in it."""
    amount = f"${spec.amount:,.2f}" if spec.unit == "usd" else f"{spec.amount:,.0f} tokens"
    whose = {
        "key": "the key's budget",
        "user": "your budget",
        "group": "the budget of a group" if spec.subject == EVERY else "the budget of your group",
        "account": "the budget of the account",
    }[spec.kind]
    return f"{whose} of {amount} for {window.words}"


def _details(spec: BudgetSpec, window: Window) -> dict[str, Any]:
    return {
        "budget": {
            "kind": spec.kind,
            "unit": spec.unit,
            "period": spec.period,
            "amount": spec.amount,
            "resets_at": window.ends_at,
        }
    }


class BudgetSpentError(InterlockError):
    """Raised when a budget that stops calls is used up."""

    kind: ClassVar[ErrorKind] = ErrorKind.QUOTA
    code: ClassVar[str] = "quota_exceeded"

    def __init__(self, spec: BudgetSpec, window: Window) -> None:
        super().__init__(
            f"{told(spec, window)} is spent",
            hint="ask an administrator for a larger one",
            details=_details(spec, window),
        )


class BudgetReservedError(InterlockError):
    """Raised when the rest of a budget is reserved by calls under way; a retry may help."""

    kind: ClassVar[ErrorKind] = ErrorKind.RATE_LIMITED
    code: ClassVar[str] = "budget_reserved"

    def __init__(self, spec: BudgetSpec, window: Window) -> None:
        super().__init__(
            f"the rest of {told(spec, window)} is reserved by calls under way",
            retry_after_s=_RESERVED_S,
            details=_details(spec, window),
        )


class InvalidBudgetError(InterlockError):
    """A budget says something that is none."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNPROCESSABLE
    code: ClassVar[str] = "invalid_budget"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message, param=field)


class BudgetNotFoundError(InterlockError):
    """No such budget."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "not_found"

    def __init__(self, budget_id: str) -> None:
        super().__init__(f"budget `{budget_id[:64]}` does not exist")
