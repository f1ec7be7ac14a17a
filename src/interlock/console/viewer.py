"""Who looks at the console, and how a browser proves it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from interlock.identity.model import Actor

__all__ = ["RECENT_S", "Granted", "SignIn", "Viewer"]

RECENT_S = 600.0
"""How long a password or identity provider counts as recent (console.md, 10.2)."""

Granted = Callable[[Response], None]
"""Sets or clears the cookies of a session on an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """A signed-in person."""

    user_id: str
    account_id: str
    name: str
    email: str
    admin: bool
    """Server administrator: sees every account and may change what is the server's."""
    role: str
    """In the account: owner, admin, member, viewer."""
    csrf: str
    signed_in_at: float
    """Seconds since the epoch, when a password or identity provider was last shown."""

    @property
    def scope(self) -> str | None:
        """Account reads are limited to; None: all of the server."""
        return None if self.admin else self.account_id

    @property
    def may_decide(self) -> bool:
        """Whether approvals of the account may be answered."""
        return self.admin or self.role in {"owner", "admin"}

    @property
    def actor(self) -> Actor:
        """As the audit log names the person."""
        return Actor(name=self.email, surface="console")


class SignIn(Protocol):
    """The cookie sessions of the server, as the console needs them."""

    async def viewer(self, request: Request) -> Viewer | None:
        """The person behind the cookies; None: nobody, or a session that ended."""
        ...

    async def login(self, request: Request, identifier: str, password: str) -> Granted:
        """A new session. Raises InterlockError when refused."""
        ...

    async def logout(self, request: Request) -> Granted:
        """Ends the session of this browser."""
        ...

    async def confirm(self, request: Request, password: str) -> bool:
        """Whether it is the person's password; a right one counts as a recent sign-in."""
        ...

    def csrf_ok(self, request: Request, viewer: Viewer | None, token: str) -> bool:
        """Whether an unsafe request was made by a page of ours; constant time."""
        ...

    async def needs_setup(self) -> bool:
        """Whether there is no person yet."""
        ...

    async def setup(self, request: Request, name: str, email: str, password: str) -> Granted:
        """Makes the first administrator. Raises InterlockError: there is one, or a bad value."""
        ...
