"""Conversations on a real database and the real log, with people and agents made up."""

import tempfile
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from interlock.conversations.build import Talks, build_talks
from interlock.conversations.model import Agent, Person
from interlock.conversations.ports import CancelOutcome, Directory, PostingLimit, Replies, Trigger
from interlock.conversations.replying import Ending, ReplyWriter
from interlock.conversations.settings import ChatSettings, StreamSettings
from interlock.events.log import EventLog
from interlock.identity.context import Context
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.kernel.ids import new_uuid
from interlock.storage.blobs import DirectoryBlobs
from interlock.storage.engine import Database

__all__ = ["AGENTS", "FrozenClock", "NamedCallers", "TalkSite", "context", "person"]


class FrozenClock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1_772_980_200.0

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.seconds += seconds


def _id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def person(name: str) -> Person:
    """A person of that name."""
    return Person(
        id=_id(name), username=name, display_name=name.capitalize(), email=f"{name}@example.com"
    )


def context(name: str, **changes: Any) -> Context:
    """A request of that person."""
    who = person(name)
    values: dict[str, Any] = {
        "user_id": who.id,
        "account_id": _id("account"),
        "account_role": "member",
        "global_role": "member",
        "email": who.email,
        "username": who.username,
        "display_name": who.display_name,
        "surface": "chat",
        "credential": "cookie",
        "credential_id": f"session-{name}",
    }
    return Context(**(values | changes))


AGENTS = tuple(
    Agent(id=_id(f"agent {handle}"), handle=handle, display_name=handle.capitalize())
    for handle in ("assistant", "helper", "poet")
)
PEOPLE = ("ann", "bob", "cleo", "dan")


class MadeUpDirectory:
    """People by name."""

    def __init__(self) -> None:
        self.known = {person(name).id: person(name) for name in PEOPLE}

    async def people(
        self, connection: AsyncConnection, user_ids: Collection[str]
    ) -> Mapping[str, Person]:
        return {one: self.known[one] for one in user_ids if one in self.known}

    async def named(
        self, connection: AsyncConnection, usernames: Collection[str]
    ) -> Mapping[str, Person]:
        return {one.username: one for one in self.known.values() if one.username in usernames}

    async def search(
        self,
        connection: AsyncConnection,
        words: str,
        *,
        among: Collection[str] | None,
        limit: int,
    ) -> list[Person]:
        found = [one for one in self.known.values() if words in one.username]
        return [one for one in found if among is None or one.id in among][:limit]


class MadeUpAgents:
    """Agents by name."""

    async def usable(self, connection: AsyncConnection, ctx: Context) -> Sequence[Agent]:
        return AGENTS

    async def known(
        self, connection: AsyncConnection, agent_ids: Collection[str]
    ) -> Mapping[str, Agent]:
        return {one.id: one for one in AGENTS if one.id in agent_ids}


class ScriptedReplies:
    """Takes replies on and lets the test write them."""

    def __init__(self) -> None:
        self.writer: ReplyWriter | None = None
        self.triggers: list[Trigger] = []

    async def accept(self, connection: AsyncConnection, trigger: Trigger) -> list[str]:
        assert self.writer is not None
        self.triggers.append(trigger)
        return [
            (await self.writer.queue(connection, trigger, agent, model="demo")).id
            for agent in trigger.agents
        ]

    async def regenerate(self, connection: AsyncConnection, trigger: Trigger) -> list[str]:
        return await self.accept(connection, trigger)

    async def trail(self, connection: AsyncConnection, message_id: str) -> Mapping[str, Any] | None:
        return None

    async def cancel(self, message_id: str) -> CancelOutcome:
        assert self.writer is not None
        ended = await self.writer.end(
            message_id, Ending(status="cancelled", finish_reason="cancelled")
        )
        return "cancelled" if ended else "completed"


class TalkSite:
    """Everything about conversations, wired for a test."""

    def __init__(
        self,
        database: Database,
        directory: Directory | None = None,
        *,
        limit: PostingLimit | None = None,
        replies: Replies | None = None,
        **streams: Any,
    ) -> None:
        self.clock = FrozenClock()
        self.database = database
        self.log = EventLog(database, now=lambda: round(self.clock.seconds * 1000))
        self.replies = ScriptedReplies()
        self.directory = directory or MadeUpDirectory()
        self.talks: Talks = build_talks(
            database=database,
            log=self.log,
            directory=self.directory,
            agents=MadeUpAgents(),
            replies=replies or self.replies,
            clock=self.clock,
            chat=ChatSettings(),
            streams=StreamSettings(**streams),
            limit=limit,
            blobs=DirectoryBlobs(Path(tempfile.gettempdir()) / f"talk-site-{new_uuid()}"),
        )
        self.replies.writer = self.talks.writer

    async def told(self, conversation_id: str) -> list[tuple[str, str | None]]:
        """Types and audiences of all events of a conversation."""
        events = await self.log.read([f"conversation:{conversation_id}"], limit=10_000, reader="*")
        return [(one.type, one.audience) for one in events]

    async def answer(self, message_id: str, *pieces: str, reason: str = "stop") -> None:
        """Lets an agent answer completely."""
        for piece in pieces:
            await self.talks.writer.write(message_id, [piece])
        await self.talks.writer.end(message_id, Ending(status="complete", finish_reason=reason))


class NamedCallers:
    """Callers by a header: what log-in does is tested elsewhere."""

    def __init__(self) -> None:
        self.ended: set[str] = set()

    async def context(self, request: Request) -> Context:
        name = request.headers.get("x-person")
        if name is None:
            raise InterlockError(
                "sign in first", kind=ErrorKind.UNAUTHENTICATED, code="unauthorized"
            )
        return context(name, global_role=request.headers.get("x-role", "member"))

    async def still_valid(self, ctx: Context) -> bool:
        return ctx.username not in self.ended
