"""What every service of conversations stands on, and how it finds out who may do what."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.errors import ForbiddenError, InvalidFieldError, NotFoundError
from interlock.conversations.model import Agent, Conversation, Member, Message
from interlock.conversations.permissions import Action, may
from interlock.conversations.ports import Agents, Directory
from interlock.conversations.repository.attendance import AttendanceRepository
from interlock.conversations.repository.conversations import ConversationRepository
from interlock.conversations.repository.messages import MessageRepository
from interlock.events.log import EventLog
from interlock.idempotency.service import Idempotency, fingerprint_of
from interlock.identity.context import Context
from interlock.kernel.clock import Clock
from interlock.storage.engine import Database

__all__ = ["Entered", "Spine", "Work", "clean_title", "user_of"]

_TITLE_CHARS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A conversation somebody was let into."""

    conversation: Conversation
    member: Member

    def require(self, ctx: Context, action: Action) -> None:
        """Raises ForbiddenError when this member may not."""
        if not may(self.member.role, action, read_only=ctx.global_role == "read_only"):
            raise ForbiddenError("your role does not allow this")


class Work:
    """One transaction on conversations: its repositories and its access checks."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.conversations = ConversationRepository(connection)
        self.messages = MessageRepository(connection)
        self.attendance = AttendanceRepository(connection)

    async def enter(self, ctx: Context, conversation_id: str, action: Action) -> Entered:
        """The conversation, when the caller may do this in it.

        Raises:
            NotFoundError: there is no such conversation.
            ForbiddenError: the caller is no member, or their role does not allow it.
        """
        conversation = await self.conversations.find(conversation_id)
        if conversation is None:
            raise NotFoundError("conversation", conversation_id)
        member = await self.conversations.member(conversation_id, user_of(ctx))
        if member is None:
            raise ForbiddenError
        entered = Entered(conversation=conversation, member=member)
        entered.require(ctx, action)
        return entered

    async def message(
        self, ctx: Context, message_id: str, action: Action
    ) -> tuple[Message, Entered]:
        """A message and its conversation; raises as `enter` does."""
        message = await self.messages.find(message_id)
        if message is None:
            raise NotFoundError("message", message_id)
        return message, await self.enter(ctx, message.conversation_id, action)

    async def root(self, ctx: Context, root_id: str, action: Action) -> tuple[Message, Entered]:
        """The root of a thread and its conversation; a message that is no root is not found."""
        message = await self.messages.find(root_id)
        if message is None or message.parent_id is not None:
            raise NotFoundError("thread", root_id)
        return message, await self.enter(ctx, message.conversation_id, action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spine:
    """The store, the log and the people of a server."""

    database: Database
    log: EventLog
    directory: Directory
    agents: Agents
    clock: Clock
    idempotency: Idempotency

    async def once(
        self,
        ctx: Context,
        key: str | None,
        request: Mapping[str, Any],
        do: Callable[[Work], Awaitable[Mapping[str, Any]]],
    ) -> tuple[Mapping[str, Any], bool]:
        """Does what creates something in one transaction, or gives its first answer again.

        `key` is the caller's idempotency key, `request` all that the request says. The second
        value is whether this repeats an earlier answer; nothing was done then.

        Raises: IdempotencyKeyError, IdempotencyKeyReusedError.
        """
        scope = f"chat:{user_of(ctx)}"
        said = fingerprint_of(msgspec.json.encode(request, order="deterministic"))
        async with self.idempotency.transaction(scope, key, said) as once:
            if once.replayed is not None:
                first: dict[str, Any] = msgspec.json.decode(once.replayed.body)
                return first, True
            made = await do(Work(once.connection))
            if key is not None:
                once.keep(200, msgspec.json.encode(made))
            return made, False

    def now(self) -> float:
        """Seconds since the epoch, in whole milliseconds: what clients see is what is stored."""
        return round(self.clock.now().timestamp(), 3)

    async def agents_of(self, work: Work, messages: Iterable[Message]) -> Mapping[str, Agent]:
        """The agents that wrote some of these messages."""
        wanted = {message.agent_id for message in messages if message.agent_id}
        return await self.agents.known(work.connection, wanted) if wanted else {}


def user_of(ctx: Context) -> str:
    """The person behind a request. Raises ForbiddenError for a key without one."""
    if ctx.user_id is None:
        raise ForbiddenError("this credential belongs to no person")
    return ctx.user_id


def clean_title(title: str) -> str:
    """A usable title. Raises InvalidFieldError."""
    cleaned = title.strip()
    if not cleaned:
        raise InvalidFieldError("title", "must not be empty")
    if len(cleaned) > _TITLE_CHARS:
        raise InvalidFieldError("title", f"must have at most {_TITLE_CHARS} characters")
    if "\x00" in cleaned:
        raise InvalidFieldError("title", "must not contain NUL")
    return cleaned
