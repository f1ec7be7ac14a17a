"""Limits of keys that set none themselves, and of requests nothing is assigned to."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["LimitSettings", "RateLimitSettings"]


class LimitSettings(BaseModel):
    """Defaults for keys without limits of their own; none means unlimited."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """Whether the chat API limits requests at all; limits of keys hold in any case."""
    requests_per_minute: int | None = Field(default=None, gt=0)
    tokens_per_minute: int | None = Field(default=None, gt=0)
    monthly_cost: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """US dollars per key and calendar month (UTC)."""


class RateLimitSettings(BaseModel):
    """Requests of the chat API where no profile is assigned. Source: conversations.md 17."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    auth_login_per_ip_per_min: int = Field(default=10, ge=1, le=1_000_000)
    """Attempts to sign in per client address and minute."""
    default_rps: float = Field(default=50.0, gt=0, le=1e6, allow_inf_nan=False)
    """Requests per second and person, or address while nobody is known."""
    burst: int = Field(default=100, ge=1, le=1_000_000)
    """How many requests an idle client may send at once."""
    admin_api_enabled: bool = False
    """Whether `/api/admin/limits` is there."""
