"""What both ways of execution are made of, and how a request of either that fails is recorded.

There is one of each part in a server, or in one rehearsal.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from interlock.gateway.deciding import Decider
from interlock.gateway.finding import SessionFinder
from interlock.gateway.ledger import Ledger
from interlock.gateway.pinning import ToolPins
from interlock.gateway.responses import ResponseStore
from interlock.gateway.roles import Roles
from interlock.gateway.rules import RulesCache
from interlock.gateway.session import Sessions
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.providers.model import Upstreams

__all__ = ["Parts"]

_CLIENT_GONE: Final = 499
_INTERNAL: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of `SingleLlm` and `DualLlm`."""

    sessions: Sessions
    rules: RulesCache
    decider: Decider
    upstreams: Upstreams
    ledger: Ledger
    pins: ToolPins
    responses: ResponseStore
    roles: Roles
    clock: Clock
    status_of: Callable[[InterlockError], int]
    """HTTP status of an error, as the client sees it."""

    def finder(self) -> SessionFinder:
        """Finds the sessions of requests."""
        return SessionFinder(sessions=self.sessions, responses=self.responses, clock=self.clock)

    def outcome_of(self, failed: BaseException) -> tuple[int, str]:
        """Status and code that the ledger gets of a request which ends in this exception."""
        match failed:
            case asyncio.CancelledError():
                return _CLIENT_GONE, "client_gone"
            case InterlockError():
                return self.status_of(failed), failed.error_code
            case _:
                return _INTERNAL, "internal_error"
