"""Who makes a request, whatever credential they showed."""

from dataclasses import dataclass, field
from typing import Literal

from interlock.identity.model import Role

__all__ = ["Context", "GlobalRole", "Surface"]

Surface = Literal["control", "platform", "chat", "workbench", "console", "cli", "server"]
GlobalRole = Literal["admin", "member", "read_only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The caller of a service."""

    user_id: str | None
    account_id: str
    account_role: Role | None
    global_role: GlobalRole
    email: str
    username: str
    display_name: str
    surface: Surface
    credential: Literal["key", "cookie", "access_token", "local"]
    credential_id: str
    scopes: frozenset[str] = field(default_factory=frozenset)
    groups: frozenset[str] = field(default_factory=frozenset)
    signed_in_at: float | None = None
    request_id: str = ""
    trace_id: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether they administer the server."""
        return self.global_role == "admin"
