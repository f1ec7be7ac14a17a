"""Who a request belongs to and what its key allows. Frozen values, no I/O."""

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["KeyInfo", "KeyLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """Limits of a key; None means no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    monthly_cost: float | None = None
    """US dollars per calendar month (UTC)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """A valid gateway key as the hot path sees it; cached, immutable."""

    id: str
    account_id: str
    user_id: str
    user_email: str
    label: str
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    """Empty: everything. Else `endpoint:<type>`, `provider:<name>`, `admin`."""
    config_version: int = 0
    """Changes whenever `base_config` does: caches of built configs key on it."""
    base_config: dict[str, Any] | None = None
    """`{x_features, x_policy, x_config}` objects as stored with the key."""
    provider_credentials: dict[str, str] = field(default_factory=dict, repr=False)
    """Provider name -> decrypted key used instead of the server's."""
    limits: KeyLimits = KeyLimits()
    tool_pinning: Literal["off", "warn", "deny"] = "off"
    call_ids: Literal["long", "compact"] = "long"
    retention: Literal["full", "masked", "none"] = "full"
    policy_override: bool = False
    """Header policies may loosen bound ones."""
    expires_at: float | None = None
