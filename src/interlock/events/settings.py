"""How the event log is kept and read again."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["EventSettings"]


class EventSettings(BaseModel):
    """The log of events behind all live streams."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    persistence: bool = True
    """Whether events are kept in the store; else in memory, until the server stops."""
    retention_hours: float = Field(default=48.0, ge=24, le=72)
    max_per_stream: int = Field(default=5000, ge=1)
    """Older events of a stream are removed."""
    prune_batch_size: int = Field(default=100, ge=1, le=10_000)
    prune_every_s: float = Field(default=300.0, gt=0)
    flush_s: float = Field(default=0.02, ge=0, le=0.05)
    """How long posted tokens wait for others, to be committed together."""
    max_waiting: int = Field(default=100_000, ge=1)
    """Posted events that may wait for the store."""
    poll_s: float = Field(default=1.0, gt=0)
    """How often the log is asked for events this process was not told of."""
