"""What one request carries through the gateway, and where its answer goes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from interlock.gateway.config import SessionConfig
from interlock.gateway.records import DecisionRecord
from interlock.identity.model import KeyInfo
from interlock.providers.wire.exchange import Head
from interlock.providers.wire.model import Usage

__all__ = ["CallContext", "Sink"]


@dataclass(slots=True, kw_only=True)
class CallContext:
    """One request, authenticated and parsed."""

    request_id: str
    key: KeyInfo
    config: SessionConfig
    head: Head
    provider: str | None
    """As named in the path; None: the default of the suffix."""
    byok: str | None
    """The caller's own provider key."""
    endpoint: str
    """Endpoint type and suffix, for the ledger."""
    native_client: bool = True
    """False for the typed client of the Messages format (gateway.md, 8.5)."""
    forward: tuple[tuple[str, str], ...] = ()
    """Headers the upstream shall get (betas, versions)."""
    session_header: str | None = None
    client_session: str | None = None
    """A coding client's own session id."""
    trace_id: str | None = None
    place: str | None = None
    """Of a call from inside the product: what its session belongs to, e.g. one thread of a
    conversation. Never taken from a client."""
    decided: Callable[[DecisionRecord], None] | None = None
    """Told every decision of this request, once it is on its way to the store."""
    spent: Usage | None = None
    """Tokens of the models asked by role for this request, so far; None: none was asked."""

    instead: str | None = None
    """The model a budget wants to be asked in the place of the one in the request."""

    @property
    def model(self) -> str:
        """The model to be asked, or a pair of them in dual-llm."""
        return self.instead or self.head.model

    def __repr__(self) -> str:
        """Without keys and bodies."""
        return f"CallContext({self.request_id}, {self.endpoint}, key={self.key.id})"


class Sink(Protocol):
    """Where an answer goes; the surface implements it on its transport."""

    @property
    def opened(self) -> bool:
        """Whether anything was sent."""
        ...

    @property
    def must_drain(self) -> bool:
        """The client is slower than the upstream."""
        ...

    def note(self, name: str, value: str) -> None:
        """A header of the answer; once it is opened, nothing."""
        ...

    def answer(self, session_id: str, body: bytes) -> None:
        """A whole answer."""
        ...

    def open(self, session_id: str) -> None:
        """The head of a streamed answer."""
        ...

    def write(self, data: bytes) -> None:
        """Complete events of a streamed answer."""
        ...

    async def drain(self) -> None:
        """Waits until the client has caught up."""
        ...

    def end(self) -> None:
        """The streamed answer is complete."""
        ...
