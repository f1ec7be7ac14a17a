"""What a turn is given: the conversation, the tools, the request.

Pure values. A message is neutral: no wire format, no header.

Source: gateway.md sections 7.4, 10.1, 13.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from interlock.dual.turn.config import DualConfig
from interlock.policy.model import DEFAULT_LABELS, Labels

__all__ = [
    "CacheEntry",
    "Called",
    "ContextVar",
    "Message",
    "PlannerMessage",
    "ToolSpec",
    "TurnInput",
]

Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A tool call in an assistant message."""

    id: str
    """As the client knows it."""
    tool: str
    arguments: str = ""
    """JSON text."""
    derived: bool = False
    """Whether an argument may hold data of a tool result or a model's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of the conversation as a caller sees it."""

    role: Role
    text: str = ""
    calls: tuple[Called, ...] = ()
    call_id: str = ""
    """Of a tool message: the call it answers."""
    derived: bool = False
    """Of an assistant message: whether its text may hold data of a tool result or a model's
    answer. Such text is kept from the planner. Tool messages always are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerMessage:
    """One message of the planner's own conversation.

    Kept over the turns of a session when planning in several steps. Holds no untrusted text
    unless a visibility setting says so.
    """

    role: Literal["user", "assistant"]
    text: str
    failed: bool = False
    """Whether it belongs to a step that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """An external tool as the caller offers it."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schema of the arguments; the order of `properties` is that of positional arguments."""
    output_schema: Mapping[str, Any] | None = None
    deterministic: bool = False
    """Equal arguments, equal result, no effect: `x_deterministic` of the definition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextVar:
    """A variable a program starts with (13)."""

    value: Any
    labels: Labels = DEFAULT_LABELS


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """A result of an external call that need not be made again; kept by the session."""

    data: str
    """The value as JSON text."""
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnInput:
    """Everything one turn starts from."""

    messages: tuple[Message, ...]
    """The conversation, oldest first; the last one is the user's request."""
    tools: tuple[ToolSpec, ...] = ()
    config: DualConfig = DualConfig()
    planner_model: str | None = None
    """None: the driver's default. Only named in questions when there are candidates."""
    now: float = 0.0
    """Seconds since the epoch: what the program's clock says for the whole turn."""
    seed: int = 0
    """Of the program's random numbers."""
    auto_gen: bool = False
    """Write policies before planning: X-Policy `auto_gen`, once per session."""
    user_program: str | None = None
    context_vars: Mapping[str, ContextVar] = field(default_factory=dict)
    cache: Mapping[str, CacheEntry] = field(default_factory=dict)
    """`Turn.cache` of the session's earlier turns."""
    planner_history: tuple[PlannerMessage, ...] = ()
    """`Turn.planner_history` of the session's earlier turns; empty in single-step planning."""
    session_labels: Labels = DEFAULT_LABELS
    history_mismatch: bool = False
    """Whether the caller's history differed from the stored one (7.5)."""
    parallel_tool_calls: bool = True
    """Whether several independent calls may be handed to the client at once."""
