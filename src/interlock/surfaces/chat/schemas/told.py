"""Bodies that go out, as the API document describes them."""

from typing import Any, Literal

from pydantic import BaseModel

from interlock.conversations.model import (
    AssistantMode,
    ContextMode,
    MemberRole,
    MessageRole,
    MessageStatus,
    PresenceStatus,
)

__all__ = [
    "AcceptedOut",
    "AssistantsOut",
    "CancelOut",
    "ChunkOut",
    "ConversationDetailOut",
    "ConversationOut",
    "ConversationsOut",
    "CreatedOut",
    "Error",
    "InviteOut",
    "InvitesOut",
    "MessageView",
    "OkOut",
    "ParticipantsOut",
    "PostedOut",
    "PresenceOut",
    "ReadyOut",
    "ReasoningOut",
    "SearchOut",
    "StatusOut",
    "ThreadsOut",
    "TreeOut",
    "UnreadOut",
    "UsersOut",
]


class Error(BaseModel):
    """Every error answer."""

    code: str
    message: str
    details: dict[str, Any]
    type: str | None = None
    title: str | None = None
    status: int | None = None


class MentionOut(BaseModel):
    """Somebody a message names."""

    kind: Literal["user", "agent", "all"]
    id: str | None
    handle: str


class MessageView(BaseModel):
    """A message."""

    id: str
    root_id: str
    parent_id: str | None
    conversation_id: str
    author_user_id: str | None
    role: MessageRole
    content: str
    path: str
    depth: int
    created_at: str
    seq: int
    author_agent: dict[str, str] | None
    status: MessageStatus
    finish_reason: str | None
    usage: dict[str, Any] | None
    model: str | None
    error: dict[str, Any] | None
    edited_at: str | None
    edited_by: str | None
    deleted_at: str | None
    mentions: list[MentionOut]
    has_reasoning: bool
    metadata: dict[str, Any]


class ThreadSummary(BaseModel):
    """A thread in a list."""

    root_id: str
    root_excerpt: str
    root_author: str | None
    created_at: str
    last_activity_at: str
    message_count: int
    participant_count: int


class Participant(BaseModel):
    """A member of a conversation."""

    user_id: str
    kind: Literal["user", "agent"]
    username: str
    display_name: str
    role: MemberRole
    joined_at: str
    presence: PresenceStatus
    last_seen_at: str | None


class ConversationOut(BaseModel):
    """A conversation."""

    id: str
    title: str
    is_group: bool
    created_by: str
    created_at: str
    updated_at: str
    last_updated: str
    archived_at: str | None
    my_role: MemberRole
    assistant_mode: AssistantMode
    context_mode: ContextMode
    default_agent: str | None
    model: str | None
    system_prompt: str | None
    participant_ids: list[str]
    participants: list[Participant] | None = None
    thread_count: int
    message_count: int
    unread_total: int


class ConversationDetailOut(ConversationOut):
    """A conversation, opened."""

    threads: list[ThreadSummary]
    messages: list[MessageView]
    has_more: bool


class ConversationsOut(BaseModel):
    """Conversations, newest activity first."""

    conversations: list[ConversationOut]
    next_cursor: str | None = None


class CreatedOut(BaseModel):
    """A conversation that was made."""

    conversation_id: str
    conversation: ConversationOut


class ParticipantsOut(BaseModel):
    """Members of a conversation."""

    participants: list[Participant]


class InviteOut(BaseModel):
    """An invitation that was made; the token is shown only here."""

    token: str
    expires_at: str


class InviteView(BaseModel):
    """An invitation in a list."""

    id: str
    email: str
    role: MemberRole
    created_by: str
    created_at: str
    expires_at: str
    status: Literal["open", "used", "revoked", "expired"]


class InvitesOut(BaseModel):
    """Invitations of a conversation."""

    invites: list[InviteView]


class AcceptedOut(BaseModel):
    """The conversation that was joined."""

    conversation_id: str


class PresenceView(BaseModel):
    """How a member is."""

    user_id: str
    status: PresenceStatus
    last_seen_at: str | None


class PresenceOut(BaseModel):
    """How the members are."""

    presence: list[PresenceView]


class ThreadsOut(BaseModel):
    """Threads, newest activity first."""

    threads: list[ThreadSummary]
    next_after: str | None = None


class UnreadView(BaseModel):
    """Unread messages of a thread."""

    root_id: str
    unread: int


class UnreadOut(BaseModel):
    """Unread messages of a conversation."""

    threads: list[UnreadView]


class TreeOut(BaseModel):
    """Messages of a thread in path order."""

    root_id: str
    messages: list[MessageView]
    next_cursor: str | None = None


class PostedOut(BaseModel):
    """A message as it was accepted."""

    message_id: str
    root_id: str
    conversation_id: str
    parent_id: str | None = None
    depth: int
    assistant_message_ids: list[str]
    last_event_id: str
    warnings: list[str] | None = None
    assistant_message_id: str | None = None
    run_id: str | None = None
    status: str | None = None
    stream_url: str | None = None
    message: MessageView | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None


class ChunkOut(BaseModel):
    """A piece of a message."""

    message_id: str
    idx: int
    content: str
    created_at: str


class CancelOut(BaseModel):
    """What became of a reply that was to stop."""

    message_id: str
    status: Literal["cancelled", "timed_out", "completed", "not_tracked"]


class ReasoningOut(BaseModel):
    """How a reply came about."""

    message_id: str
    mode: str
    status: str
    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    usage: dict[str, Any]


class SearchHit(BaseModel):
    """A message that was found."""

    message: MessageView
    snippet: str


class SearchOut(BaseModel):
    """Messages that were found, newest first."""

    results: list[SearchHit]
    next_cursor: str | None = None


class UserView(BaseModel):
    """A person by name."""

    id: str
    username: str
    display_name: str
    email: str | None = None


class UsersOut(BaseModel):
    """People by name."""

    users: list[UserView]


class AssistantView(BaseModel):
    """An agent that can be mentioned."""

    id: str
    handle: str
    display_name: str
    kind: str
    model: str | None
    description: str


class AssistantsOut(BaseModel):
    """Agents that can be mentioned."""

    assistants: list[AssistantView]


class StatusOut(BaseModel):
    """The server lives."""

    status: Literal["ok"]


class ReadyOut(BaseModel):
    """Whether the server can serve."""

    ready: bool
    missing: list[str] | None = None


class OkOut(BaseModel):
    """It was done."""

    ok: bool
