"""Conversations, messages and threads in the JSON both clients read. Pure.

Events carry the same objects as answers, so they are made in one place. Instants become
RFC 3339 in UTC with milliseconds and an explicit offset: without it both clients fail.
Source: conversations.md, 1.4, 7.1, 8.1.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from interlock.conversations.model import (
    Agent,
    Conversation,
    Member,
    MemberRole,
    Message,
    Person,
    Presence,
    ThreadSummary,
)

__all__ = [
    "conversation_view",
    "instant",
    "message_view",
    "participant_view",
    "thread_view",
]


def instant(at: float) -> str:
    """Seconds since the epoch as RFC 3339 with milliseconds."""
    moment = datetime.fromtimestamp(round(at, 3), tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _maybe(at: float | None) -> str | None:
    return None if at is None else instant(at)


def message_view(message: Message, agents: Mapping[str, Agent]) -> dict[str, Any]:
    """A `MessageView`; a deleted message keeps its place and loses its text."""
    deleted = message.deleted_at is not None
    agent = agents.get(message.agent_id or "")
    return {
        "id": message.id,
        "root_id": message.root_id,
        "parent_id": message.parent_id,
        "conversation_id": message.conversation_id,
        "author_user_id": message.author_user_id,
        "role": message.role,
        "content": "" if deleted else message.content,
        "path": message.path,
        "depth": message.depth,
        "created_at": instant(message.created_at),
        "seq": message.seq,
        "author_agent": None
        if agent is None
        else {"id": agent.id, "handle": agent.handle, "display_name": agent.display_name},
        "status": message.status,
        "finish_reason": message.finish_reason,
        "usage": message.usage,
        "model": message.model,
        "error": message.error,
        "edited_at": _maybe(message.edited_at),
        "edited_by": message.edited_by,
        "deleted_at": _maybe(message.deleted_at),
        "mentions": []
        if deleted
        else [{"kind": one.kind, "id": one.id, "handle": one.handle} for one in message.mentions],
        "has_reasoning": message.has_reasoning,
        "metadata": dict(message.metadata),
    }


def thread_view(thread: ThreadSummary) -> dict[str, Any]:
    """A `ThreadSummary`."""
    return {
        "root_id": thread.root_id,
        "root_excerpt": thread.root_excerpt,
        "root_author": thread.root_author,
        "created_at": instant(thread.created_at),
        "last_activity_at": instant(thread.last_activity_at),
        "message_count": thread.message_count,
        "participant_count": thread.participant_count,
    }


def participant_view(
    member: Member, who: Person | Agent | None, presence: Presence | None
) -> dict[str, Any]:
    """A `Participant`; `who` is None for somebody who was removed from the server."""
    handle = who.username if isinstance(who, Person) else who.handle if who else ""
    return {
        "user_id": member.user_id,
        "kind": member.kind,
        "username": handle,
        "display_name": who.display_name if who else "",
        "role": member.role,
        "joined_at": instant(member.joined_at),
        "presence": "online"
        if member.kind == "agent"
        else presence.status
        if presence
        else "offline",
        "last_seen_at": instant(presence.last_seen_at) if presence else None,
    }


def conversation_view(
    conversation: Conversation,
    *,
    my_role: MemberRole,
    member_ids: Collection[str],
    counts: tuple[int, int],
    unread: int,
    participants: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """A `Conversation`; `counts` are its threads and messages."""
    view: dict[str, Any] = {
        "id": conversation.id,
        "title": conversation.title,
        "is_group": conversation.is_group,
        "created_by": conversation.created_by,
        "created_at": instant(conversation.created_at),
        "updated_at": instant(conversation.updated_at),
        "last_updated": instant(conversation.last_activity_at),
        "archived_at": _maybe(conversation.archived_at),
        "my_role": my_role,
        "assistant_mode": conversation.assistant_mode,
        "context_mode": conversation.context_mode,
        "default_agent": conversation.default_agent,
        "model": conversation.model,
        "system_prompt": conversation.system_prompt,
        "participant_ids": list(member_ids),
        "thread_count": counts[0],
        "message_count": counts[1],
        "unread_total": unread,
    }
    if participants is not None:
        view["participants"] = list(participants)
    return view
