"""Who a request belongs to and what its key allows. Frozen values, no I/O."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

__all__ = [
    "GLOBAL_ROLES",
    "ROLES",
    "Account",
    "Actor",
    "AuditEntry",
    "GlobalRole",
    "Group",
    "KeyInfo",
    "KeyLimits",
    "KeySpec",
    "KeyView",
    "Membership",
    "Role",
    "User",
]


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
    approval: Literal["off", "ask"] = "off"
    """`ask`: a soft denial is put to a person, and the call waits."""
    expires_at: float | None = None
    surface: Literal["control", "platform", "chat", "workbench"] = "control"
    """Where it is used: a person who writes in a chat calls models through `chat`."""


Role = Literal["owner", "admin", "member", "viewer"]
"""In an account, strongest first."""
ROLES: tuple[Role, ...] = get_args(Role)

GlobalRole = Literal["admin", "member", "read_only"]
"""On the server; the closed list of conversations.md section 1."""
GLOBAL_ROLES: tuple[GlobalRole, ...] = get_args(GlobalRole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What owns keys, usage and decisions: one person or an organization."""

    id: str
    kind: Literal["personal", "organization"]
    name: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who can hold keys and log in."""

    id: str
    email: str
    """Lower case."""
    username: str
    """As it was chosen; unique ignoring case."""
    display_name: str
    global_role: GlobalRole
    created_at: float
    email_verified: bool = False
    disabled_at: float | None = None

    @property
    def is_admin(self) -> bool:
        """Whether this person administers the server."""
        return self.global_role == "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A person in an account."""

    account: Account
    user_id: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """People of an account who get the same rights. None in a list: no restriction."""

    id: str
    account_id: str
    name: str
    role: Role | None = None
    """Role members have in the account at least."""
    models: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    policies: tuple[str, ...] = ()
    """Names of stored policies that bind every member."""
    budget: dict[str, Any] | None = None
    """`{monthly_cost, monthly_tokens, on_limit}`; read by `limits`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpec:
    """What a new key is to be; `KeyAdmin.create` checks it."""

    label: str
    scopes: frozenset[str] = frozenset()
    base_config: dict[str, Any] | None = None
    provider_credentials: dict[str, str] = field(default_factory=dict, repr=False)
    limits: KeyLimits = KeyLimits()
    tool_pinning: Literal["off", "warn", "deny"] = "off"
    call_ids: Literal["long", "compact"] = "long"
    retention: Literal["full", "masked", "none"] = "full"
    policy_override: bool = False
    approval: Literal["off", "ask"] = "off"
    expires_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """A stored key as people see it; the key itself is not recoverable."""

    id: str
    prefix: str
    label: str
    account_id: str
    user_id: str
    user_email: str
    scopes: tuple[str, ...]
    base_config: dict[str, Any] | None
    providers: tuple[str, ...]
    """Providers it brings its own credential for."""
    limits: KeyLimits
    tool_pinning: str
    call_ids: str
    retention: str
    policy_override: bool
    approval: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None

    def status(self, now: float) -> Literal["active", "revoked", "expired"]:
        """What it is worth at `now`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something that is audited."""

    name: str
    """E-mail address of a user, or e.g. `local:root` for the command line."""
    surface: str
    """`cli`, `control`, `console`, `server`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One admin action."""

    id: int
    at: float
    actor: str
    surface: str
    action: str
    """`<thing>.<verb>`, e.g. `key.create`."""
    target: str
    account_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
