"""Conversations, members, messages and threads as values. Frozen, no I/O.

Instants are seconds since the epoch; surfaces write them as RFC 3339.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

__all__ = [
    "UNFINISHED",
    "Agent",
    "AssistantMode",
    "Chunk",
    "ContextMode",
    "Conversation",
    "Growing",
    "Invite",
    "Member",
    "MemberRole",
    "Mention",
    "Message",
    "MessageRole",
    "MessageStatus",
    "Page",
    "Person",
    "Presence",
    "PresenceStatus",
    "ThreadSummary",
]

MemberRole = Literal["owner", "admin", "member", "viewer"]
MessageRole = Literal["user", "assistant", "system", "tool"]
MessageStatus = Literal["queued", "streaming", "complete", "cancelled", "timeout", "error"]
UNFINISHED: Final[tuple[MessageStatus, ...]] = ("queued", "streaming")
"""A message whose text may still grow."""
PresenceStatus = Literal["online", "away", "offline"]
AssistantMode = Literal["always", "auto", "mention", "off"]
ContextMode = Literal["thread", "conversation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user as other members see them."""

    id: str
    username: str
    display_name: str
    email: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Something that answers: the built-in assistant, a model alias, a defined agent."""

    id: str
    handle: str
    display_name: str
    kind: str = "assistant"
    model: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """Somebody a message names."""

    kind: Literal["user", "agent", "all"]
    id: str | None
    handle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation without its messages."""

    id: str
    account_id: str
    title: str
    is_group: bool
    created_by: str
    created_at: float
    updated_at: float
    last_activity_at: float
    archived_at: float | None
    assistant_mode: AssistantMode
    context_mode: ContextMode
    default_agent: str | None
    """Handle of the agent that answers unless another is named."""
    model: str | None
    system_prompt: str | None
    last_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A person or an agent in a conversation."""

    conversation_id: str
    user_id: str
    kind: Literal["user", "agent"]
    role: MemberRole
    joined_at: float
    joined_seq: int
    """Messages up to this one were there before and are never unread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Whether a person is there."""

    user_id: str
    status: PresenceStatus
    last_seen_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a thread."""

    id: str
    conversation_id: str
    root_id: str
    parent_id: str | None
    author_user_id: str | None
    agent_id: str | None
    requested_by: str | None
    """For a reply of an agent: whose message it answers."""
    role: MessageRole
    content: str
    path: str
    depth: int
    seq: int
    created_at: float
    status: MessageStatus = "complete"
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    model: str | None = None
    error: Mapping[str, Any] | None = None
    edited_at: float | None = None
    edited_by: str | None = None
    deleted_at: float | None = None
    deleted_by: str | None = None
    mentions: tuple[Mention, ...] = ()
    has_reasoning: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    made_by: str | None = None
    """The process that makes a reply, or made it last; nobody else may write it."""

    @property
    def unfinished(self) -> bool:
        """Whether its text may still grow."""
        return self.status in UNFINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing:
    """How far a reply is."""

    status: MessageStatus
    made_by: str | None
    next: int
    """The next free chunk index."""

    @property
    def unfinished(self) -> bool:
        """Whether its text may still grow."""
        return self.status in UNFINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadSummary:
    """A thread in a list."""

    root_id: str
    root_excerpt: str
    root_author: str | None
    created_at: float
    last_activity_at: float
    message_count: int
    participant_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a reply as it arrived."""

    message_id: str
    idx: int
    content: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """An invitation of an e-mail address. Its token is stored hashed."""

    id: str
    conversation_id: str
    email: str
    role: MemberRole
    created_by: str
    created_at: float
    expires_at: float
    revoked_at: float | None = None
    used_at: float | None = None
    used_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Part of a list of messages."""

    messages: tuple[Message, ...]
    has_more: bool
