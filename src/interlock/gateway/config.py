"""The session config: everything a key, a preset and three headers decide.

Frozen values; `surfaces.control.headers` builds them from header text and
`gateway` acts on them. Absent values are already filled in.

Source: gateway.md sections 3 to 6.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from interlock.policy.model import Presets

__all__ = [
    "Architecture",
    "Blocker",
    "BranchingPolicy",
    "Classifier",
    "Endpoint",
    "FsmConfig",
    "PolicyConfig",
    "ResponseFormatConfig",
    "SessionConfig",
]

Architecture = Literal["single-llm", "dual-llm"]
Endpoint = Literal["chat", "code", "agent", "lang-graph", "policy-gen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A content classifier; a score at or above `threshold` (0..1) triggers it."""

    name: Literal[
        "pii_redaction", "toxicity_filter", "healthcare_topic_guardrail", "finance_topic_guardrail"
    ]
    threshold: float = 0.5
    mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """A content blocker."""

    name: Literal["url_blocker", "file_blocker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchingPolicy:
    """Which labels a branch condition may carry (dual-llm, mode custom)."""

    mode: Literal["deny", "allow"] = "deny"
    producers: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    consumers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """X-Policy, complete."""

    mode: Literal["standard", "strict", "custom"] = "standard"
    code: str = ""
    language: Literal["sqrt", "cedar"] = "sqrt"
    auto_gen: bool = False
    presets: Presets = Presets()
    branching: BranchingPolicy = BranchingPolicy()
    enforcement: Literal["enforce", "watch"] = "enforce"


@dataclass(frozen=True, slots=True, kw_only=True)
class FsmConfig:
    """X-Config `fsm`, complete; dual-only keys are kept but unused in single-llm."""

    min_num_tools_for_filtering: int | None = 10
    clear_session_meta: Literal["never", "every_attempt", "every_turn"] = "never"
    max_n_turns: int | None = None
    history_mismatch_policy: Literal["reject", "restart_turn", "continue"] = "continue"
    dual: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFormatConfig:
    """X-Config `response_format` (dual-llm)."""

    strip_response_content: bool = False
    stream_thoughts: bool = False
    include_program: bool = False
    include_policy_check_history: bool = False
    include_namespace_snapshot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """A whole config, frozen into a session when it is created."""

    arch: Architecture = "single-llm"
    endpoint: Endpoint = "chat"
    classifiers: tuple[Classifier, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    policy: PolicyConfig = PolicyConfig()
    fsm: FsmConfig = FsmConfig()
    response_format: ResponseFormatConfig = ResponseFormatConfig()
    prompt: dict[str, Any] = field(default_factory=dict)
    """X-Config `prompt`, validated, by role."""
    llm: dict[str, dict[str, Any]] = field(default_factory=dict)
    """X-Config `llm`, validated: role -> overrides that were set."""
