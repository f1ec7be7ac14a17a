"""Settings of chat. Key names are the published ones (conversations.md, 17)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["BackpressureSettings", "ChatSettings", "StreamSettings"]


class ChatSettings(BaseModel):
    """How agents answer in conversations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default_model: str | None = None
    """None: the first model the server finds a provider for."""
    assistant_timeout_seconds: float = Field(default=300.0, gt=0)
    max_agents_per_message: int = Field(default=4, ge=1, le=32)
    agent_chaining: bool = False
    """Whether an agent that mentions another makes it answer, at most three times in a row."""
    max_concurrent_replies: int = Field(default=8, ge=1)
    on_restart: Literal["resume", "retry", "fail"] = "resume"
    """A reply that a stopped server left behind: gone on with without a word said twice, begun
    anew if nothing was said, or ended as interrupted."""
    store_tool_messages: bool = False
    attachment_bytes: int = Field(default=25_000_000, ge=1, le=25_000_000)
    """Of one file."""
    conversation_bytes: int = Field(default=500_000_000, ge=1)
    """Of all files of one conversation."""
    context_limit: int = Field(default=50, ge=0, le=500)
    """Messages of other threads shown as background when a conversation asks for them."""


class BackpressureSettings(BaseModel):
    """What becomes of events for a reader that does not keep up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    drop_strategy: Literal["coalesce", "drop_tokens", "drop_tokens_and_system"] = "coalesce"
    """`coalesce` merges and loses nothing."""
    warn_queue_ratio: float = Field(default=0.75, gt=0, le=1)


class StreamSettings(BaseModel):
    """Live streams of conversations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    heartbeat_seconds: float = Field(default=20.0, gt=0)
    channel_capacity: int = Field(default=128, ge=1)
    """Events that wait for one reader."""
    max_backfill_events: int = Field(default=512, ge=1)
    initial_replay_seconds: float = Field(default=10.0, ge=0)
    delta_flush_ms: int = Field(default=30, ge=0)
    backpressure: BackpressureSettings = BackpressureSettings()
    max_streams_per_user: int = Field(default=20, ge=1)
    stalled_seconds: float = Field(default=30.0, gt=0)
    """A socket that accepts nothing for this long is closed."""
