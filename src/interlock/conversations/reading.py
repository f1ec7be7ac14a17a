"""Reading threads and messages, searching them, taking them along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.conversations.errors import InvalidFieldError
from interlock.conversations.model import Agent, Chunk, Conversation, Message, Person, ThreadSummary
from interlock.conversations.paths import valid_path
from interlock.conversations.permissions import Action
from interlock.conversations.ports import Replies
from interlock.conversations.spine import Spine, Work, user_of
from interlock.conversations.views import instant, message_view
from interlock.identity.context import Context

__all__ = ["Exported", "Found", "Reading", "as_document", "as_markdown"]

_USERS = 20
_SNIPPET = 160
_EXPORT_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A message that was searched for."""

    message: Mapping[str, Any]
    snippet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A whole conversation, threads in the order they began, each in the order it is read."""

    conversation: Conversation
    messages: tuple[Mapping[str, Any], ...]
    names: Mapping[str, str]
    """Author id -> display name."""


class Reading:
    """Use cases that change nothing."""

    def __init__(self, spine: Spine, replies: Replies) -> None:
        self._spine = spine
        self._replies = replies

    async def threads(
        self, ctx: Context, conversation_id: str, *, below: float | None, limit: int
    ) -> tuple[Sequence[ThreadSummary], float | None]:
        """Threads, newest activity first, strictly below an instant; where the rest begins."""
        async with self._spine.database.read() as connection:
            work = Work(connection)
            await work.enter(ctx, conversation_id, Action.READ)
            found = await work.messages.summaries(conversation_id, below=below, limit=limit + 1)
        shown = found[:limit]
        return shown, shown[-1].last_activity_at if len(found) > limit else None

    async def tree(
        self, ctx: Context, root_id: str, *, after: str | None, limit: int, pending: bool
    ) -> tuple[Sequence[Mapping[str, Any]], str | None]:
        """Messages of a thread in path order, strictly after a path; where the rest begins."""
        if after is not None and not valid_path(after):
            raise InvalidFieldError("cursor_path", "is no path of a message")
        async with self._spine.database.read() as connection:
            work = Work(connection)
            await work.root(ctx, root_id, Action.READ)
            found = await work.messages.tree(root_id, after=after, limit=limit + 1, pending=pending)
            shown = found[:limit]
            views = await self._views(work, shown)
        return views, shown[-1].path if len(found) > limit else None

    async def message(self, ctx: Context, message_id: str) -> Mapping[str, Any]:
        """One message."""
        async with self._spine.database.read() as connection:
            work = Work(connection)
            message, _ = await work.message(ctx, message_id, Action.READ)
            return (await self._views(work, [message]))[0]

    async def reasoning(self, ctx: Context, message_id: str) -> Mapping[str, Any]:
        """How a reply came about, as far as whoever made it tells; a plain one has no nodes."""
        async with self._spine.database.read() as connection:
            message, _ = await Work(connection).message(ctx, message_id, Action.READ)
            if message.role != "assistant":
                raise InvalidFieldError("id", "must name a reply of an agent")
            trail = await self._replies.trail(connection, message_id)
        plain: dict[str, Any] = {"mode": "off", "status": message.status, "nodes": [], "edges": []}
        usage = {"usage": dict(message.usage or {})}
        return {"message_id": message_id, **plain, **usage, **(trail or {})}

    async def views(self, messages: Sequence[Message]) -> Sequence[Mapping[str, Any]]:
        """Views of messages the caller was given already."""
        async with self._spine.database.read() as connection:
            return await self._views(Work(connection), messages)

    async def chunks(
        self, ctx: Context, message_id: str, *, start: int, limit: int
    ) -> Sequence[Chunk]:
        """Pieces of a message from an index; a text that came whole is one piece."""
        async with self._spine.database.read() as connection:
            work = Work(connection)
            message, _ = await work.message(ctx, message_id, Action.READ)
            if message.deleted_at is not None:
                return []
            found = await work.messages.chunks(message_id, start=start, limit=limit)
            edited = message.edited_at is not None
            kept = bool(found or await work.messages.chunks(message_id, start=0, limit=1))
        if kept and not edited:
            return found
        if message.unfinished or not message.content or start > 0:
            return []
        whole = Chunk(
            message_id=message.id, idx=0, content=message.content, created_at=message.created_at
        )
        return [whole]

    async def search(
        self,
        ctx: Context,
        words: str,
        *,
        conversation_id: str | None,
        below: str | None,
        limit: int,
    ) -> tuple[Sequence[Found], str | None]:
        """Messages the caller may read that contain all words, newest first."""
        if not words.strip():
            raise InvalidFieldError("q", "must not be empty")
        if "\x00" in words:
            raise InvalidFieldError("q", "must not contain NUL")
        async with self._spine.database.read() as connection:
            work = Work(connection)
            if conversation_id is not None:
                await work.enter(ctx, conversation_id, Action.READ)
            found = await work.messages.search(
                user_of(ctx),
                words,
                conversation_id=conversation_id,
                below=below,
                limit=limit + 1,
            )
            shown = found[:limit]
            views = await self._views(work, shown)
        results = [
            Found(message=view, snippet=_snippet(str(view["content"]), words)) for view in views
        ]
        return results, shown[-1].id if len(found) > limit else None

    async def export(self, ctx: Context, conversation_id: str) -> Exported:
        """Everything in a conversation."""
        async with self._spine.database.read() as connection:
            work = Work(connection)
            entered = await work.enter(ctx, conversation_id, Action.READ)
            everything: list[Message] = []
            seq = 0
            while True:
                page = await work.messages.listed(conversation_id, after=seq, limit=_EXPORT_PAGE)
                everything += page
                if len(page) < _EXPORT_PAGE:
                    break
                seq = page[-1].seq
            everything.sort(key=lambda one: one.path)
            authors = {one.author_user_id for one in everything if one.author_user_id}
            people = await self._spine.directory.people(connection, authors)
            agents = await self._spine.agents_of(work, everything)
            views = tuple(message_view(one, agents) for one in everything)
        return Exported(
            conversation=entered.conversation,
            messages=views,
            names={one.id: one.display_name or one.username for one in people.values()},
        )

    async def users(
        self, ctx: Context, words: str, *, conversation_id: str | None
    ) -> Sequence[Person]:
        """People by name, for adding and mentioning them; of one conversation, or all."""
        async with self._spine.database.read() as connection:
            work = Work(connection)
            user_of(ctx)
            among = None
            if conversation_id is not None:
                await work.enter(ctx, conversation_id, Action.READ)
                members = await work.conversations.members([conversation_id])
                among = [one.user_id for one in members if one.kind == "user"]
            return await self._spine.directory.search(
                connection, words.strip().lower().replace("\x00", ""), among=among, limit=_USERS
            )

    async def assistants(self, ctx: Context) -> Sequence[Agent]:
        """Agents the caller may mention."""
        async with self._spine.database.read() as connection:
            return await self._spine.agents.usable(connection, ctx)

    async def _views(self, work: Work, messages: Sequence[Message]) -> Sequence[Mapping[str, Any]]:
        agents = await self._spine.agents_of(work, messages)
        return [message_view(one, agents) for one in messages]


def _snippet(content: str, words: str) -> str:
    """The text around the first word, one line."""
    low = content.lower()
    places = [low.find(word) for word in words.lower().split()]
    at = min((place for place in places if place >= 0), default=0)
    start = max(0, at - _SNIPPET // 3)
    piece = " ".join(content[start : start + _SNIPPET].split())
    before, after = "…" if start else "", "…" if start + _SNIPPET < len(content) else ""
    return f"{before}{piece}{after}"


def as_markdown(exported: Exported) -> str:
    """A conversation as Markdown, indented by depth with quote marks."""
    lines = [f"# {exported.conversation.title}", ""]
    for view in exported.messages:
        agent = view["author_agent"]
        author = (
            agent["display_name"]
            if agent
            else exported.names.get(view["author_user_id"] or "", view["role"])
        )
        mark = "> " * (view["depth"] - 1)
        text = "*deleted*" if view["deleted_at"] else view["content"]
        lines.append(f"{mark}**{author}** · {view['created_at']}")
        lines.append(mark.rstrip())
        lines += [f"{mark}{line}".rstrip() for line in text.splitlines() or [""]]
        lines.append("")
    return "\n".join(lines)


def as_document(exported: Exported) -> Mapping[str, Any]:
    """A conversation as one JSON object."""
    conversation = exported.conversation
    return {
        "id": conversation.id,
        "title": conversation.title,
        "created_at": instant(conversation.created_at),
        "authors": dict(exported.names),
        "messages": list(exported.messages),
    }
