"""The events of conversations: their types, payloads and public ids. Pure.

The nine types of `STANDARD` are all that the published clients know; the others reach only
readers that ask for them. Source: conversations.md, 11.2, 11.3, 11.8.
"""

from collections.abc import Callable, Mapping
from typing import Any

from interlock.conversations.cursors import EventId
from interlock.conversations.model import Message, Presence
from interlock.conversations.views import instant
from interlock.events.model import NewEvent

__all__ = [
    "EXTENDED",
    "STANDARD",
    "conversation_stream",
    "created",
    "delta_payload",
    "joined",
    "left",
    "membership_changed",
    "message_changed",
    "message_delta",
    "message_done",
    "node_changed",
    "presence_update",
    "reply_failed",
    "thread_activity",
    "thread_new",
    "tool_called",
    "typing_update",
    "unread_update",
    "updated",
    "user_stream",
]

STANDARD = frozenset(
    {
        "thread.new",
        "thread.activity",
        "message.delta",
        "message.done",
        "presence.update",
        "typing.update",
        "unread.update",
        "membership.changed",
        "error",
    }
)
EXTENDED = frozenset(
    {
        "message.new",
        "message.edited",
        "message.deleted",
        "message.restored",
        "reasoning.node",
        "tool.call",
        "conversation.updated",
        "stream.reset",
    }
)


def conversation_stream(conversation_id: str) -> str:
    """Name of the stream everyone in a conversation reads."""
    return f"conversation:{conversation_id}"


def user_stream(user_id: str) -> str:
    """Name of the stream that tells a person's readers what they may read from now on."""
    return f"user:{user_id}"


def thread_new(conversation_id: str, summary: Mapping[str, Any]) -> NewEvent:
    """A thread began; `summary` is a thread view."""
    root_id = str(summary["root_id"])
    payload = {"conversation_id": conversation_id, "root_id": root_id, "summary": summary}
    return NewEvent(type="thread.new", payload=payload, name=_named(root_id, root_id))


def thread_activity(conversation_id: str, root_id: str, at: float) -> NewEvent:
    """Something changed in a thread."""
    payload = {
        "root_id": root_id,
        "last_activity_at": instant(at),
        "conversation_id": conversation_id,
    }
    return NewEvent(type="thread.activity", payload=payload, name=_named(root_id))


def message_delta(message: Message, index: int, content: str) -> NewEvent:
    """A piece of a reply."""
    return NewEvent(
        type="message.delta",
        payload=delta_payload(message, index, content, first=index == 0),
        key=f"delta:{message.id}",
        name=_named(message.root_id, message.id, index),
    )


def delta_payload(message: Message, index: int, content: str, *, first: bool) -> dict[str, Any]:
    """Payload of a delta that ends with chunk `index`; `first`: it includes chunk 0."""
    delta = {"role": "assistant", "content": content} if first else {"content": content}
    return {
        "id": f"{message.id}:{index}",
        "object": "chat.completion.chunk",
        "root_id": message.root_id,
        "message_id": message.id,
        "conversation_id": message.conversation_id,
        "parent_id": message.parent_id,
        "depth": message.depth,
        "choices": [{"index": 0, "delta": delta}],
    }


def message_done(message: Message, index: int, usage: Mapping[str, Any]) -> NewEvent:
    """A reply ended; `index` is the next free chunk index."""
    payload = {
        "message_id": message.id,
        "root_id": message.root_id,
        "conversation_id": message.conversation_id,
        "finish_reason": message.finish_reason,
        "usage": dict(usage),
    }
    name = _named(message.root_id, message.id, index)
    return NewEvent(type="message.done", payload=payload, name=name)


def reply_failed(message: Message, code: str, text: str) -> NewEvent:
    """Why a reply ended early."""
    payload = {
        "code": code,
        "message": text,
        "message_id": message.id,
        "root_id": message.root_id,
        "conversation_id": message.conversation_id,
    }
    return NewEvent(type="error", payload=payload, name=_named(message.root_id, message.id))


def presence_update(presence: Presence) -> NewEvent:
    """Somebody came, went or was idle."""
    payload = {
        "user_id": presence.user_id,
        "status": presence.status,
        "last_seen_at": instant(presence.last_seen_at),
    }
    return NewEvent(
        type="presence.update",
        payload=payload,
        key=f"presence:{presence.user_id}",
        name=_named(),
    )


def typing_update(conversation_id: str, root_id: str, user_id: str, expires_at: float) -> NewEvent:
    """Somebody types until `expires_at`; that instant being now means they stopped."""
    payload = {
        "conversation_id": conversation_id,
        "root_id": root_id,
        "user_id": user_id,
        "expires_at": instant(expires_at),
    }
    return NewEvent(
        type="typing.update",
        payload=payload,
        key=f"typing:{root_id}:{user_id}",
        name=_named(root_id),
    )


def unread_update(conversation_id: str, root_id: str, user_id: str, unread: int) -> NewEvent:
    """How much a person has not read of a thread; only they are told."""
    payload = {"root_id": root_id, "unread": unread, "conversation_id": conversation_id}
    return NewEvent(
        type="unread.update",
        payload=payload,
        audience=user_id,
        key=f"unread:{root_id}:{user_id}",
        name=_named(root_id),
    )


def membership_changed(conversation_id: str, user_id: str, role: str, action: str) -> NewEvent:
    """Somebody was added or removed, or has another role."""
    payload = {
        "conversation_id": conversation_id,
        "user_id": user_id,
        "role": role,
        "action": action,
    }
    return NewEvent(type="membership.changed", payload=payload, name=_named())


def message_changed(
    kind: str, conversation_id: str, root_id: str, view: Mapping[str, Any]
) -> NewEvent:
    """`message.new`, `.edited`, `.deleted` or `.restored` with the message as it is now."""
    payload = {"conversation_id": conversation_id, "message": view}
    return NewEvent(type=f"message.{kind}", payload=payload, name=_named(root_id, str(view["id"])))


def node_changed(message: Message, node: Mapping[str, Any]) -> NewEvent:
    """A step of a reply's reasoning began or ended."""
    payload = {
        "message_id": message.id,
        "conversation_id": message.conversation_id,
        "root_id": message.root_id,
        "node": node,
    }
    return NewEvent(
        type="reasoning.node", payload=payload, name=_named(message.root_id, message.id)
    )


def tool_called(message: Message, node: Mapping[str, Any]) -> NewEvent:
    """A tool of a reply began, ended or was denied."""
    payload = {
        "message_id": message.id,
        "conversation_id": message.conversation_id,
        "root_id": message.root_id,
        "node_id": node["id"],
        "tool": node["name"],
        "status": node["status"],
        "error": node["error"],
    }
    return NewEvent(type="tool.call", payload=payload, name=_named(message.root_id, message.id))


def updated(conversation_id: str, changed: Mapping[str, Any]) -> NewEvent:
    """Settings of a conversation changed."""
    payload = {"conversation_id": conversation_id, **changed}
    return NewEvent(type="conversation.updated", payload=payload, name=_named())


def created(conversation_id: str) -> NewEvent:
    """The first event of a conversation; nobody is sent it.

    While it is in the log, the log reaches back to the beginning.
    """
    payload = {"conversation_id": conversation_id}
    return NewEvent(type="conversation.created", payload=payload, name=_named())


def joined(conversation_id: str) -> NewEvent:
    """On a person's own stream: they may read a conversation from now on."""
    return NewEvent(type="conversation.joined", payload={"conversation_id": conversation_id})


def left(conversation_id: str) -> NewEvent:
    """On a person's own stream: they may read a conversation no more."""
    return NewEvent(type="conversation.left", payload={"conversation_id": conversation_id})


def _named(
    root_id: str | None = None, message_id: str | None = None, index: int = -1
) -> Callable[[int], str]:
    def name(ms: int) -> str:
        return str(EventId(root_id=root_id, message_id=message_id, index=index, ms=ms))

    return name
