"""Limits of keys that set none themselves."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["LimitSettings"]


class LimitSettings(BaseModel):
    """Defaults for keys without limits of their own; none means unlimited."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int | None = Field(default=None, gt=0)
    tokens_per_minute: int | None = Field(default=None, gt=0)
    monthly_cost: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """US dollars per key and calendar month (UTC)."""
    refresh_s: float = Field(default=60.0, gt=0)
    """How often spent money is read again from the ledger, to see other processes' spending."""
