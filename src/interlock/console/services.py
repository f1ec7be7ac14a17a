"""What the pages stand on: the services of the server, passed in by the composition root."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request

from interlock.console.viewer import SignIn, Viewer
from interlock.conversations.build import Talks
from interlock.gateway.approvals.service import Approvals
from interlock.gateway.history import History
from interlock.gateway.policies.activation import Activations
from interlock.gateway.policies.binding import Bindings
from interlock.gateway.policies.replaying import Replays
from interlock.gateway.policies.service import PolicyStore
from interlock.gateway.policies.whatif import WhatIf
from interlock.identity.admin import IdentityAdmin
from interlock.identity.audit import AuditLog
from interlock.identity.context import Context
from interlock.identity.invites import Invites
from interlock.identity.people import People
from interlock.identity.roster import Roster
from interlock.kernel.clock import Clock
from interlock.limits.desk import LimitDesk

__all__ = ["DemoAttack", "ProviderRow", "Services", "SettingRow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """A provider, as it is set up and as it does."""

    name: str
    kind: str
    state: str
    """`ready`, `callers_key`, `unset`, `disabled`."""
    address: str
    formats: tuple[str, ...]
    models: tuple[str, ...] | None
    """None: any."""
    keys: tuple[str, ...]
    """Names and last characters, never more."""
    default_for: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One setting in effect; secrets masked."""

    key: str
    value: str
    source: str


async def _no_trails(message_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    del message_ids
    return {}


async def _no_session(request: Request) -> str | None:
    del request
    return None


class DemoAttack(Protocol):
    """Plays an injection with the demo model through the gateway."""

    async def play(self, viewer: Viewer) -> str:
        """Returns the id of the decision that stopped it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything pages read and do."""

    clock: Clock
    sign_in: SignIn
    history: History
    policies: PolicyStore
    activations: Activations
    bindings: Bindings
    replays: Replays
    whatif: WhatIf
    approvals: Approvals
    admin: IdentityAdmin
    audit: AuditLog
    roster: Roster
    people: People
    invites: Invites
    limits: LimitDesk
    demo: DemoAttack
    providers: Callable[[], Sequence[ProviderRow]]
    probe: Callable[[str], Awaitable[str | None]]
    """Asks a provider for one word; what went wrong, or None."""
    health: Callable[[], Awaitable[Mapping[str, str]]]
    """One entry a part: `ok`, or what is wrong."""
    settings: Callable[[], Sequence[SettingRow]]
    version: str
    origins: frozenset[str] = frozenset()
    """Origins besides its own that forms may come from (the public base URL)."""
    talks: Talks | None = None
    """Conversations; None: there are none here."""
    context: Callable[[Request], Awaitable[Context]] | None = None
    """The person of a request as the services of conversations take him."""
    trails: Callable[[Sequence[str]], Awaitable[Mapping[str, Mapping[str, Any]]]] = _no_trails
    """How replies came about, by message."""
    own_session: Callable[[Request], Awaitable[str | None]] = _no_session
    """Id of the log-in session of a request; None: it has none of this server."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.now().timestamp()
