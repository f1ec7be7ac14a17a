"""Who asks, whatever the credential was. Every surface makes one of these per request.

Frozen, no I/O. Services take it as their first argument; what it allows is decided there.
"""

from dataclasses import dataclass, field
from typing import Literal

from interlock.identity.model import Actor, GlobalRole, Role

__all__ = ["Context", "Credential", "Surface"]

Surface = Literal["control", "platform", "chat", "workbench", "console", "cli", "server"]
Credential = Literal["key", "cookie", "access_token", "local"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One caller within one request."""

    user_id: str | None
    """None: a key that belongs to an account and to nobody in it."""
    account_id: str
    account_role: Role | None
    """In `account_id`; None: no member of it."""
    global_role: GlobalRole
    email: str
    username: str
    display_name: str
    surface: Surface
    credential: Credential
    credential_id: str
    """Id of the key or of the login session, or the `jti` of the token."""
    scopes: frozenset[str] = field(default_factory=frozenset)
    """As in `KeyInfo`; empty: everything."""
    groups: frozenset[str] = field(default_factory=frozenset)
    """Names of the person's groups in `account_id`."""
    signed_in_at: float | None = None
    """When a password or an identity provider was last shown, seconds since the epoch."""
    request_id: str = ""
    trace_id: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether the caller administers the server."""
        return self.global_role == "admin"

    @property
    def actor(self) -> Actor:
        """The caller as the audit log names it."""
        return Actor(name=self.email or self.credential_id, surface=self.surface)
