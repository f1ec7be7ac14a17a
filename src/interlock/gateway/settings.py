"""What the gateway does when a key says nothing, and how long things are kept."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["GatewaySettings"]


class GatewaySettings(BaseModel):
    """Server-wide defaults of sessions, tool calls and the logs about them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool_pinning: Literal["off", "warn", "deny"] = "off"
    """Default for new keys: what happens when a known tool comes with another definition."""
    call_ids: Literal["long", "compact"] = "long"
    """Default for new keys: form of tool-call ids."""
    retention: Literal["full", "masked", "none"] = "full"
    """Default for new keys: which argument values the decision log keeps."""
    approval: Literal["off", "ask"] = "off"
    """Default for new keys: `ask` puts soft denials to a person (`interlock approvals`)."""
    approval_self: Literal["deny", "allow"] = "deny"
    """Whether a person may allow a call that was made for that person."""
    approval_wait_s: float = Field(default=120.0, gt=0)
    """Seconds a call waits for that person; then it is denied."""
    session_lifetime_s: float = Field(default=86_400.0, gt=0)
    """Idle seconds after which a session is gone."""
    session_wait_s: float = Field(default=30.0, gt=0)
    """Seconds a request waits for another one of its session; then it is 409 `session_busy`."""
    response_lifetime_s: float = Field(default=30 * 86_400.0, gt=0)
    """Seconds a stored Responses answer can be fetched."""
    decision_days: float = Field(default=365.0, gt=0)
    """Days a decision is kept."""
    value_days: float | None = Field(default=None, gt=0)
    """Days the values of a decision are kept: arguments, and what was read. Then its verdict,
    rule, ids and labels remain. Absent: as long as the decision."""
    usage_days: float = Field(default=400.0, gt=0)
    """Days a usage record is kept."""
    policy_files: tuple[Path, ...] = ()
    """Policies that hold for every request, in this order: files, relative to the settings
    file, or policies that come with Interlock, `shipped:NAME`."""
    policy_refresh_s: float = Field(default=2.0, gt=0)
    """How often the server looks for changes of the policies kept in it."""
    denial_flush_s: float = Field(default=2.0, gt=0)
    """How long an answer waits for its denial, or its suspended program, to be stored."""
    guard_threads: int = Field(default=2, ge=1, le=64)
    """Threads in which content guards inspect long tool results and arguments."""
    guard_wait_s: float = Field(default=60.0, gt=0)
    """How long one inspection may take there, waiting included; then the text does not pass."""
    turn_s: float = Field(default=240.0, gt=0)
    """Dual-llm: seconds one request may plan and compute before its turn ends as `timeout`."""
    turn_bytes: int = Field(default=8 << 20, gt=0)
    """Dual-llm: how large a program that waits for a tool may be, in bytes."""
    shared_sessions: bool = False
    """Several processes serve the same sessions: the store is asked at every request."""
