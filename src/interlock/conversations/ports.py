"""What conversations need from elsewhere, as protocols; `app.py` passes the real ones in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.model import Agent, Conversation, Message, Person
from interlock.identity.context import Context

__all__ = [
    "Agents",
    "Ask",
    "CancelOutcome",
    "Directory",
    "NoReplies",
    "PostingLimit",
    "Replies",
    "Trigger",
]


class Directory(Protocol):
    """People of the server, as members may see them."""

    async def people(
        self, connection: AsyncConnection, user_ids: Collection[str]
    ) -> Mapping[str, Person]:
        """Those of the ids that are enabled people."""
        ...

    async def named(
        self, connection: AsyncConnection, usernames: Collection[str]
    ) -> Mapping[str, Person]:
        """Enabled people by lower-case username."""
        ...

    async def search(
        self,
        connection: AsyncConnection,
        words: str,
        *,
        among: Collection[str] | None,
        limit: int,
    ) -> list[Person]:
        """Enabled people whose username or name contains `words`, sorted by username."""
        ...


class Agents(Protocol):
    """Agents a person may use."""

    async def usable(self, connection: AsyncConnection, ctx: Context) -> Sequence[Agent]:
        """Every agent this caller may mention, sorted by handle."""
        ...

    async def known(
        self, connection: AsyncConnection, agent_ids: Collection[str]
    ) -> Mapping[str, Agent]:
        """Agents by id, also those that are switched off now."""
        ...


class PostingLimit(Protocol):
    """How fast one person may post in one conversation."""

    async def admit(self, user_id: str, conversation_id: str) -> None:
        """Counts one message. Raises PostingTooFastError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a caller asks of the agents that answer a message."""

    model: str | None = None
    agent: str | None = None
    """Handle or id of the agent to answer."""
    system: str | None = None
    tools: Literal["auto", "none"] | tuple[str, ...] = "auto"
    retrieval: Mapping[str, Any] = field(default_factory=dict)
    reasoning: Mapping[str, Any] = field(default_factory=dict)
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A message that agents answer."""

    ctx: Context
    """Who asked: replies run with their rights."""
    conversation: Conversation
    message: Message
    agents: tuple[Agent, ...]
    ask: Ask


CancelOutcome = Literal["cancelled", "timed_out", "completed", "not_tracked"]


class Replies(Protocol):
    """Makes agents answer."""

    async def accept(self, connection: AsyncConnection, trigger: Trigger) -> list[str]:
        """Takes on the replies, in the posting transaction; ids of their messages in order."""
        ...

    async def cancel(self, message_id: str) -> CancelOutcome:
        """Stops a reply."""
        ...

    async def regenerate(self, connection: AsyncConnection, trigger: Trigger) -> list[str]:
        """Takes on another reply to the message that was answered before."""
        ...

    async def trail(self, connection: AsyncConnection, message_id: str) -> Mapping[str, Any] | None:
        """Mode, status, nodes and edges of a reply's reasoning; None: there is no trail."""
        ...


class NoReplies:
    """Nobody answers: for servers without a model, and until one is wired."""

    async def accept(self, connection: AsyncConnection, trigger: Trigger) -> list[str]:
        """Takes nothing on."""
        del connection, trigger
        return []

    async def cancel(self, message_id: str) -> CancelOutcome:
        """There is nothing to stop."""
        del message_id
        return "not_tracked"

    async def regenerate(self, connection: AsyncConnection, trigger: Trigger) -> list[str]:
        """Takes nothing on."""
        del connection, trigger
        return []

    async def trail(self, connection: AsyncConnection, message_id: str) -> Mapping[str, Any] | None:
        """There is none."""
        del connection, message_id
        return None
