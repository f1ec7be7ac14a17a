"""Bodies that come in. Unknown fields are ignored."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from interlock.conversations.model import (
    AssistantMode,
    ContextMode,
    MemberRole,
    MessageRole,
    PresenceStatus,
)
from interlock.conversations.ports import Ask
from interlock.conversations.posting import Draft

__all__ = [
    "AcceptIn",
    "ChatIn",
    "ConversationIn",
    "ConversationPatch",
    "EditIn",
    "HeartbeatIn",
    "InviteIn",
    "MessageIn",
    "ParticipantIn",
    "ReadIn",
    "ReasonIn",
    "RegenerateIn",
    "ReplyIn",
    "TypingIn",
]

_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
UuidText = Annotated[str, Field(pattern=_UUID)]


class _Body(BaseModel):
    @field_validator("*")
    @classmethod
    def _storable(cls, value: object) -> object:
        """Not every database takes NUL as part of a text."""
        if isinstance(value, str) and "\x00" in value:
            raise ValueError("must not contain NUL")
        return value


class ParticipantIn(_Body):
    """Somebody to let in."""

    user_id: UuidText
    role: MemberRole = "member"


class ConversationIn(_Body):
    """A conversation to make."""

    title: str
    is_group: bool = False
    participants: list[ParticipantIn] = Field(default_factory=list, max_length=200)
    assistant_mode: AssistantMode | None = None
    context_mode: ContextMode | None = None
    model: str | None = Field(default=None, max_length=300)
    system_prompt: str | None = None
    default_agent: str | None = Field(default=None, max_length=64)


class ConversationPatch(_Body):
    """Settings to change; what is absent stays."""

    title: str | None = None
    assistant_mode: AssistantMode | None = None
    context_mode: ContextMode | None = None
    model: str | None = Field(default=None, max_length=300)
    system_prompt: str | None = None
    default_agent: str | None = Field(default=None, max_length=64)
    archived: bool | None = None


class InviteIn(_Body):
    """An address to invite."""

    email: str
    role: MemberRole = "member"
    ttl_seconds: int | None = None
    ttl_secs: int | None = None


class AcceptIn(_Body):
    """An invitation to accept."""

    token: str = Field(min_length=1, max_length=200)


class _Options(_Body):
    """What agents are asked besides the text."""

    model: str | None = Field(default=None, max_length=300)
    agent: str | None = Field(default=None, max_length=64)
    system: str | None = Field(default=None, max_length=100_000)
    tools: Literal["auto", "none"] | list[str] | None = None
    retrieval: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None

    def ask(self) -> Ask:
        """As the domain takes it."""
        tools = self.tools
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Ask(
            model=self.model,
            agent=self.agent,
            system=self.system,
            tools=tuple(tools) if isinstance(tools, list) else tools or "auto",
            retrieval=self.retrieval or {},
            reasoning=self.reasoning or {},
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            stop=tuple(stop),
        )


class RegenerateIn(_Options):
    """How to answer again."""


class MessageIn(_Options):
    """A message to post."""

    content: str
    attachments: list[str] = Field(default_factory=list, max_length=50)
    """Ids of files that were uploaded to the conversation."""
    role: MessageRole | None = None
    metadata: dict[str, Any] | None = None
    client_message_id: str | None = Field(default=None, min_length=1, max_length=200)

    def draft(self, repeat_key: str | None) -> Draft:
        """As the domain takes it; a key in the header wins."""
        return Draft(
            content=self.content,
            role=self.role or "user",
            ask=self.ask(),
            metadata=self.metadata or {},
            repeat_key=repeat_key or self.client_message_id,
            attachments=tuple(one.lower() for one in self.attachments),
        )


class ReplyIn(_Options):
    """A text under one of its three names, and where it goes."""

    message: str | None = None
    prompt: str | None = None
    content: str | None = None
    role: MessageRole | None = None
    parent_id: UuidText | None = None
    root_id: UuidText | None = None
    stream: bool = False
    wait: bool = False
    metadata: dict[str, Any] | None = None
    attachments: list[str] = Field(default_factory=list, max_length=50)
    """Ids of files that were uploaded to the conversation."""
    client_message_id: str | None = Field(default=None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _one_text(self) -> "ReplyIn":
        given = [one for one in (self.message, self.prompt, self.content) if one is not None]
        if len(given) != 1:
            raise ValueError("exactly one of `message`, `prompt` and `content` is needed")
        return self

    @property
    def text(self) -> str:
        """The text, whatever it was called."""
        return next(one for one in (self.message, self.prompt, self.content) if one is not None)

    def draft(self, repeat_key: str | None) -> Draft:
        """As the domain takes it; a key in the header wins."""
        return Draft(
            content=self.text,
            role=self.role or "user",
            ask=self.ask(),
            metadata=self.metadata or {},
            repeat_key=repeat_key or self.client_message_id,
            attachments=tuple(one.lower() for one in self.attachments),
        )


class ChatIn(ReplyIn):
    """A prompt."""

    conversation_id: UuidText | None = None
    title: str | None = None


class EditIn(_Body):
    """A new text of a message."""

    content: str
    reason: str | None = Field(default=None, max_length=2000)


class ReasonIn(_Body):
    """Why a message goes."""

    reason: str | None = Field(default=None, max_length=2000)


class ReadIn(_Body):
    """How far a thread was read; absent: to its end."""

    path: str | None = None


class TypingIn(_Body):
    """Where the caller types, and for how long."""

    conversation_id: UuidText
    root_id: UuidText
    seconds: float = Field(allow_inf_nan=False)


class HeartbeatIn(_Body):
    """How the caller is."""

    status: PresenceStatus | None = None
