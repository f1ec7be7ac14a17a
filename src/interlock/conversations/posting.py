"""Posting messages: roots, replies, prompts.

One transaction writes the message, its number, the events and the read marks, and takes on the
replies of agents; the answer follows its commit. Source: conversations.md, 8.2, 10, 19.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from interlock.conversations.addressing import Addressing
from interlock.conversations.announcing import (
    conversation_stream,
    message_changed,
    presence_update,
    thread_activity,
    thread_new,
    typing_update,
    unread_update,
)
from interlock.conversations.attachments.service import Attachments
from interlock.conversations.cursors import NIL, EventId
from interlock.conversations.errors import (
    ConversationConflictError,
    ForbiddenError,
    InvalidFieldError,
    MessageDeletedError,
    NotFoundError,
)
from interlock.conversations.excerpts import title_of
from interlock.conversations.model import Message, MessageRole
from interlock.conversations.paths import child_path, depth
from interlock.conversations.permissions import Action
from interlock.conversations.ports import Ask, PostingLimit, Replies, Trigger
from interlock.conversations.presence import come_online
from interlock.conversations.service import Conversations, NewConversation
from interlock.conversations.spine import Entered, Spine, Work, user_of
from interlock.conversations.views import message_view, thread_view
from interlock.events.model import Event, NewEvent
from interlock.identity.context import Context
from interlock.kernel.ids import new_ordered_uuid

__all__ = ["CONTENT_CHARS", "Draft", "Posted", "Posting", "clean_content"]

CONTENT_CHARS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message to post."""

    content: str
    role: MessageRole = "user"
    ask: Ask = field(default_factory=Ask)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    repeat_key: str | None = None
    """The caller's idempotency key."""
    attachments: tuple[str, ...] = ()
    """Ids of uploaded files the message carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A message as it was accepted."""

    message_id: str
    root_id: str
    conversation_id: str
    parent_id: str | None
    depth: int
    assistant_message_ids: tuple[str, ...] = ()
    last_event_id: str = ""
    """Id of the event just before this post: a stream opened with it misses nothing."""
    warnings: tuple[str, ...] = ()
    replayed: bool = False
    """This repeats an earlier answer; nothing was posted now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a message goes."""

    entered: Entered
    parent: Message | None = None
    always: bool = False
    """An agent answers whatever the conversation's mode says."""


class Posting:
    """Use cases that create messages of people."""

    def __init__(
        self,
        spine: Spine,
        conversations: Conversations,
        *,
        replies: Replies,
        limit: PostingLimit,
        max_agents: int,
        attachments: Attachments | None = None,
    ) -> None:
        self._spine = spine
        self._conversations = conversations
        self._replies = replies
        self._limit = limit
        self._attachments = attachments
        self._addressing = Addressing(spine, max_agents=max_agents)

    async def root(self, ctx: Context, conversation_id: str, draft: Draft) -> Posted:
        """Begins a thread."""

        async def post(work: Work) -> Posted:
            entered = await work.enter(ctx, conversation_id, Action.POST)
            return await self._post(work, ctx, _Place(entered=entered), draft, before)

        before = await self._admit(ctx, conversation_id)
        return await self._once(ctx, draft, f"root:{conversation_id}", post)

    async def reply(self, ctx: Context, parent_id: str, draft: Draft) -> Posted:
        """Answers a message."""
        conversation_id = await self._conversation_of(ctx, parent_id)

        async def post(work: Work) -> Posted:
            parent, entered = await work.message(ctx, parent_id, Action.POST)
            return await self._post(
                work, ctx, _Place(entered=entered, parent=parent), draft, before
            )

        before = await self._admit(ctx, conversation_id)
        return await self._once(ctx, draft, f"reply:{parent_id}", post)

    async def reply_in(
        self,
        ctx: Context,
        conversation_id: str,
        draft: Draft,
        *,
        parent_id: str | None = None,
        root_id: str | None = None,
    ) -> Posted:
        """Answers the named message, or the newest one of the thread named or active last.

        The first message of an empty conversation becomes a root.
        """

        async def post(work: Work) -> Posted:
            entered = await work.enter(ctx, conversation_id, Action.POST)
            parent = await _parent(work, conversation_id, parent_id, root_id)
            return await self._post(
                work, ctx, _Place(entered=entered, parent=parent), draft, before
            )

        before = await self._admit(ctx, conversation_id)
        return await self._once(ctx, draft, f"in:{conversation_id}:{parent_id}:{root_id}", post)

    async def prompt(
        self,
        ctx: Context,
        draft: Draft,
        *,
        conversation_id: str | None = None,
        parent_id: str | None = None,
        title: str | None = None,
    ) -> Posted:
        """Asks the agents, wherever: a new conversation, a new thread or below a message.

        An agent always answers here.
        """
        clean_content(draft.content)

        async def post(work: Work) -> Posted:
            place = await self._place(
                work, ctx, conversation_id, parent_id, title=title or title_of(draft.content)
            )
            return await self._post(work, ctx, place, draft, before)

        if conversation_id is None and parent_id is not None:
            before = await self._admit(ctx, await self._conversation_of(ctx, parent_id))
        else:
            before = await self._admit(ctx, conversation_id or NIL)
        return await self._once(ctx, draft, f"prompt:{conversation_id}:{parent_id}:{title}", post)

    async def regenerate(
        self, ctx: Context, message_id: str, ask: Ask, *, repeat_key: str | None = None
    ) -> Posted:
        """Asks for another reply beside one; the first one stays."""
        conversation_id = await self._conversation_of(ctx, message_id)
        before = await self._admit(ctx, conversation_id)

        async def do(work: Work) -> Mapping[str, Any]:
            return asdict(await self._regenerate(work, ctx, message_id, ask, before))

        request = {"what": f"regenerate:{message_id}", "ask": asdict(ask)}
        return _posted(*await self._spine.once(ctx, repeat_key, request, do))

    async def _regenerate(
        self, work: Work, ctx: Context, message_id: str, ask: Ask, before: str | None
    ) -> Posted:
        message, entered = await work.message(ctx, message_id, Action.POST)
        if message.role != "assistant" or message.parent_id is None:
            raise InvalidFieldError("message_id", "must name a reply of an agent")
        parent = await work.messages.find(message.parent_id)
        if parent is None or parent.deleted_at is not None:
            raise MessageDeletedError(message.parent_id)
        _open(entered)
        known = await self._spine.agents.known(work.connection, [message.agent_id or ""])
        agents = tuple(known.values())
        if ask.agent is not None:
            agents = (await self._addressing.one(work, ctx, ask.agent),)
        trigger = Trigger(
            ctx=ctx, conversation=entered.conversation, message=parent, agents=agents, ask=ask
        )
        ids = await self._replies.regenerate(work.connection, trigger)
        return Posted(
            message_id=parent.id,
            root_id=parent.root_id,
            conversation_id=parent.conversation_id,
            parent_id=parent.id,
            depth=parent.depth + 1,
            assistant_message_ids=tuple(ids),
            last_event_id=before or "",
        )

    async def _conversation_of(self, ctx: Context, message_id: str) -> str:
        async with self._spine.database.read() as connection:
            message, _ = await Work(connection).message(ctx, message_id, Action.POST)
            return message.conversation_id

    async def _admit(self, ctx: Context, conversation_id: str) -> str | None:
        """Counts the post; the id of the newest event before it.

        Outside of the transaction: one that waits for a second connection of the pool while
        it holds a first could wait for itself.
        """
        await self._limit.admit(user_of(ctx), conversation_id)
        newest = await self._spine.log.last(conversation_stream(conversation_id))
        return None if newest is None else newest.id

    async def _once(
        self,
        ctx: Context,
        draft: Draft,
        what: str,
        post: Callable[[Work], Awaitable[Posted]],
    ) -> Posted:
        """Runs `post` in a transaction, or gives the first answer of a repeated request."""

        async def do(work: Work) -> Mapping[str, Any]:
            return asdict(await post(work))

        return _posted(*await self._spine.once(ctx, draft.repeat_key, _said(what, draft), do))

    async def _place(
        self,
        work: Work,
        ctx: Context,
        conversation_id: str | None,
        parent_id: str | None,
        *,
        title: str,
    ) -> _Place:
        if parent_id is not None:
            parent, entered = await work.message(ctx, parent_id, Action.POST)
            if conversation_id not in (None, parent.conversation_id):
                raise InvalidFieldError("parent_id", "is in another conversation")
            return _Place(entered=entered, parent=parent, always=True)
        if conversation_id is not None:
            entered = await work.enter(ctx, conversation_id, Action.POST)
            return _Place(entered=entered, always=True)
        entered = await self._conversations.make(work, ctx, NewConversation(title=title))
        return _Place(entered=entered, always=True)

    async def _post(
        self, work: Work, ctx: Context, place: _Place, draft: Draft, before: str | None
    ) -> Posted:
        entered, parent = place.entered, place.parent
        _check(ctx, entered, parent, draft)
        seq, at = await work.conversations.advance(entered.conversation.id, now=self._spine.now())
        await _still_open(work, entered)
        addressed = await self._addressing.read(
            work, ctx, entered.conversation, parent, draft, always=place.always
        )
        message = _message(ctx, place, draft, seq=seq, at=at)
        message = replace(message, mentions=addressed.mentions)
        await work.messages.add(message)
        if draft.attachments:
            message = await self._carrying(work, ctx, message, draft.attachments)
        await work.conversations.touch(entered.conversation.id, message.root_id, at)
        await work.attendance.mark(
            message.conversation_id, message.root_id, user_of(ctx), message.seq
        )
        events = await self._tell(work, ctx, message)
        ids: list[str] = []
        if addressed.agents:
            trigger = Trigger(
                ctx=ctx,
                conversation=entered.conversation,
                message=message,
                agents=addressed.agents,
                ask=draft.ask,
            )
            ids = await self._replies.accept(work.connection, trigger)
        return Posted(
            message_id=message.id,
            root_id=message.root_id,
            conversation_id=message.conversation_id,
            parent_id=message.parent_id,
            depth=message.depth,
            assistant_message_ids=tuple(ids),
            last_event_id=before or _just_before(events[0]),
            warnings=addressed.warnings,
        )

    async def _carrying(
        self, work: Work, ctx: Context, message: Message, ids: tuple[str, ...]
    ) -> Message:
        """The message with its files, which its metadata names from now on."""
        if self._attachments is None:
            raise InvalidFieldError("attachments", "are not taken by this server")
        files = await self._attachments.carry(work, ctx, message.conversation_id, ids, message.id)
        told = {**message.metadata, "attachments": [one.summary() for one in files]}
        await work.messages.change(message, {"metadata": told})
        return replace(message, metadata=told)

    async def _tell(self, work: Work, ctx: Context, message: Message) -> list[Event]:
        """The events of a post in their published order."""
        user_id, conversation_id = user_of(ctx), message.conversation_id
        events: list[NewEvent] = []
        if message.parent_id is None:
            found = await work.messages.summaries(conversation_id, root_id=message.root_id, limit=1)
            events += [thread_new(conversation_id, thread_view(one)) for one in found]
        view = message_view(message, {})
        events.append(message_changed("new", conversation_id, message.root_id, view))
        events.append(thread_activity(conversation_id, message.root_id, message.created_at))
        here = await come_online(self._spine, work, user_id, besides=conversation_id)
        events.append(presence_update(here))
        events.append(typing_update(conversation_id, message.root_id, user_id, message.created_at))
        unread = await work.attendance.unread_of_thread(conversation_id, message.root_id)
        mine = unread.pop(user_id, 0)
        for other, count in unread.items():
            events.append(unread_update(conversation_id, message.root_id, other, count))
        events.append(unread_update(conversation_id, message.root_id, user_id, mine))
        return await self._spine.log.append(
            work.connection, conversation_stream(conversation_id), events
        )


def clean_content(content: str) -> str:
    """A usable text. Raises InvalidFieldError."""
    if not content.strip():
        raise InvalidFieldError("content", "must not be empty")
    if len(content) > CONTENT_CHARS:
        raise InvalidFieldError("content", f"must have at most {CONTENT_CHARS} characters")
    if "\x00" in content:
        raise InvalidFieldError("content", "must not contain NUL")
    return content


def _check(ctx: Context, entered: Entered, parent: Message | None, draft: Draft) -> None:
    clean_content(draft.content)
    if draft.role == "system":
        entered.require(ctx, Action.POST_SYSTEM)
    elif draft.role != "user":
        raise ForbiddenError("only agents write messages of this role")
    _open(entered)
    if parent is not None and parent.deleted_at is not None:
        raise MessageDeletedError(parent.id)


def _open(entered: Entered) -> None:
    if entered.conversation.archived_at is not None:
        raise ConversationConflictError(
            "this conversation is archived", hint="take it out of the archive to post"
        )


async def _still_open(work: Work, entered: Entered) -> None:
    """Membership and archive once more, now that other changes of the conversation wait."""
    conversation = await work.conversations.find(entered.conversation.id)
    if conversation is None:
        raise NotFoundError("conversation", entered.conversation.id)
    member = await work.conversations.member(conversation.id, entered.member.user_id)
    if member is None:
        raise ForbiddenError
    _open(Entered(conversation=conversation, member=member))


async def _parent(
    work: Work, conversation_id: str, parent_id: str | None, root_id: str | None
) -> Message | None:
    if parent_id is not None:
        parent = await work.messages.find(parent_id)
        if parent is None:
            raise NotFoundError("message", parent_id)
        if parent.conversation_id != conversation_id or root_id not in (None, parent.root_id):
            raise InvalidFieldError("parent_id", "is in another conversation or thread")
        return parent
    if root_id is not None:
        root = await work.messages.find(root_id)
        if root is None or root.parent_id is not None or root.conversation_id != conversation_id:
            raise InvalidFieldError("root_id", "names no thread of this conversation")
    newest = await work.messages.newest(conversation_id, root_id)
    if newest is None and root_id is not None:
        raise ConversationConflictError("this thread has no message to reply to")
    return newest


def _message(ctx: Context, place: _Place, draft: Draft, *, seq: int, at: float) -> Message:
    entered, parent = place.entered, place.parent
    message_id = new_ordered_uuid(round(at * 1000))
    path = child_path(None if parent is None else parent.path, message_id)
    return Message(
        id=message_id,
        conversation_id=entered.conversation.id,
        root_id=message_id if parent is None else parent.root_id,
        parent_id=None if parent is None else parent.id,
        author_user_id=user_of(ctx) if draft.role == "user" else None,
        agent_id=None,
        requested_by=user_of(ctx),
        role=draft.role,
        content=draft.content,
        path=path,
        depth=depth(path),
        seq=seq,
        created_at=at,
        metadata=dict(draft.metadata),
    )


def _just_before(event: Event) -> str:
    """An id that no event has, with the last millisecond before one."""
    return str(EventId(root_id=None, message_id=None, index=-1, ms=event.at_ms - 1))


def _said(what: str, draft: Draft) -> Mapping[str, Any]:
    """All that a request to post says."""
    return {
        "what": what,
        "content": draft.content,
        "role": draft.role,
        "ask": asdict(draft.ask),
        "metadata": dict(draft.metadata),
        "attachments": draft.attachments,
    }


def _posted(told: Mapping[str, Any], replayed: bool) -> Posted:
    values = dict(told)
    for name in ("assistant_message_ids", "warnings"):
        values[name] = tuple(values[name])
    return Posted(**(values | {"replayed": replayed}))
