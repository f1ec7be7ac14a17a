"""Writes the replies of agents: queued, growing, ended.

Whoever makes replies calls this and nothing else, so that every reply is told in the published
order: deltas, one `message.done`, an `error` if it failed, one `thread.activity`, and unread
counts. Chunks and log rows are written together. Source: conversations.md, 11.2, 11.6, 19.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.announcing import (
    conversation_stream,
    message_changed,
    message_delta,
    message_done,
    reply_failed,
    thread_activity,
    typing_update,
    unread_update,
)
from interlock.conversations.assembly import estimate_tokens
from interlock.conversations.growing import Growth, locked_growth
from interlock.conversations.model import Agent, Message, MessageStatus
from interlock.conversations.paths import child_path, depth
from interlock.conversations.ports import Trigger
from interlock.conversations.spine import Spine, Work
from interlock.conversations.views import message_view
from interlock.kernel.ids import new_ordered_uuid

__all__ = ["Ending", "ReplyWriter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a reply ended."""

    status: MessageStatus
    """`complete`, `cancelled`, `timeout` or `error`."""
    finish_reason: str
    usage: Mapping[str, Any] | None = None
    """None: estimated from the text."""
    error: tuple[str, str] | None = None
    """Code and sentence of an `error` event."""


class ReplyWriter:
    """The only writer of assistant messages."""

    def __init__(self, spine: Spine, *, timeout_s: float) -> None:
        self._spine = spine
        self._timeout_s = timeout_s
        self._growths: dict[str, Growth] = {}
        """What this process writes now."""

    async def queue(
        self, connection: AsyncConnection, trigger: Trigger, agent: Agent, *, model: str | None
    ) -> Message:
        """A reply that will come, below the message it answers; in the caller's transaction.

        The agent shows as typing until its first words.
        """
        work = Work(connection)
        conversation_id, parent = trigger.conversation.id, trigger.message
        seq, at = await work.conversations.advance(conversation_id, now=self._spine.now())
        message_id = new_ordered_uuid(round(at * 1000))
        path = child_path(parent.path, message_id)
        message = Message(
            id=message_id,
            conversation_id=conversation_id,
            root_id=parent.root_id,
            parent_id=parent.id,
            author_user_id=None,
            agent_id=agent.id,
            requested_by=trigger.ctx.user_id,
            role="assistant",
            content="",
            path=path,
            depth=depth(path),
            seq=seq,
            created_at=at,
            status="queued",
            model=model,
        )
        await work.messages.add(message)
        view = message_view(message, {agent.id: agent})
        until = at + self._timeout_s
        await self._spine.log.append(
            connection,
            conversation_stream(conversation_id),
            [
                message_changed("new", conversation_id, message.root_id, view),
                typing_update(conversation_id, message.root_id, agent.id, until),
            ],
        )
        return message

    async def write(self, message_id: str, pieces: Sequence[str], *, by: str | None = None) -> int:
        """Adds pieces of text, each one chunk and one delta; the next free chunk index.

        An ended reply takes no more: nothing is written then. Nor is it when `by` is given and
        another process has taken the reply over.
        """
        given = [piece for piece in pieces if piece]
        known = self._growths.pop(message_id, None)  # comes back when this is committed
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            growth, following = await locked_growth(work, message_id, known, by=by)
            if growth is None:
                return following
            if given:
                await self._grow(work, growth, given)
        self._growths[message_id] = growth
        return growth.next

    async def settle(self, message_id: str, *, by: str | None = None) -> None:
        """Lets the message's row say all that was written; for a text that pauses."""
        known = self._growths.get(message_id)
        if known is None or not known.behind:
            return
        del self._growths[message_id]
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            growth, _ = await locked_growth(work, message_id, known, by=by)
            if growth is None:
                return
            await growth.write_row(work, now=self._spine.now())
        self._growths[message_id] = growth

    async def _grow(self, work: Work, growth: Growth, given: Sequence[str]) -> None:
        now, message = self._spine.now(), growth.message
        events = []
        if growth.next == 0 and message.agent_id is not None:
            events.append(
                typing_update(message.conversation_id, message.root_id, message.agent_id, now)
            )
        chunks = await growth.add(work, given, now=now)
        events += [message_delta(message, one.idx, one.content) for one in chunks]
        await self._spine.log.append(
            work.connection, conversation_stream(message.conversation_id), events
        )

    async def end(self, message_id: str, ending: Ending, *, by: str | None = None) -> bool:
        """Ends a reply, once; whether it was this call that did.

        With `by`, only for the process that makes it.
        """
        self._growths.pop(message_id, None)
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            message = await _locked(work, message_id)
            if message is None or not message.unfinished or by not in (None, message.made_by):
                return False
            message = replace(message, content=await work.messages.text(message_id))
            _, at = await work.conversations.advance(message.conversation_id, now=self._spine.now())
            usage = dict(ending.usage) if ending.usage is not None else _estimated(message)
            error = (
                None
                if ending.error is None
                else dict(zip(("code", "message"), ending.error, strict=True))
            )
            await work.messages.change(
                message,
                {
                    "status": ending.status,
                    "finish_reason": ending.finish_reason,
                    "usage": usage,
                    "error": error,
                    "content": message.content,
                },
            )
            ended = await work.messages.find(message_id) or message
            await work.conversations.touch(message.conversation_id, message.root_id, at)
            await self._tell_end(work, ended, ending, usage, at)
            return True

    async def _tell_end(
        self, work: Work, message: Message, ending: Ending, usage: Mapping[str, Any], at: float
    ) -> None:
        conversation_id, root_id = message.conversation_id, message.root_id
        index = await work.messages.next_chunk(message.id)
        events = []
        if index == 0 and message.agent_id is not None:
            events.append(typing_update(conversation_id, root_id, message.agent_id, at))
        events.append(message_done(message, index, usage))
        if ending.error is not None:
            events.append(reply_failed(message, *ending.error))
        events.append(thread_activity(conversation_id, root_id, at))
        unread = await work.attendance.unread_of_thread(conversation_id, root_id)
        events += [
            unread_update(conversation_id, root_id, user_id, count)
            for user_id, count in unread.items()
        ]
        await self._spine.log.append(work.connection, conversation_stream(conversation_id), events)


async def _locked(work: Work, message_id: str) -> Message | None:
    """The message, with other writers of its conversation waiting."""
    message = await work.messages.find(message_id)
    if message is None:
        return None
    await work.conversations.lock(message.conversation_id)
    return await work.messages.find(message_id)


def _estimated(message: Message) -> dict[str, Any]:
    tokens = estimate_tokens(message.content)
    return {
        "prompt_tokens": 0,
        "completion_tokens": tokens,
        "total_tokens": tokens,
        "estimated": True,
    }
