"""The session config: everything a key, a preset and three headers decide.

Frozen values; `surfaces.control.headers` builds them from header text and
`gateway` acts on them. Absent values are already filled in, and what an
architecture does not support is already switched off.

Source: gateway.md sections 3 to 6.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypedDict

import msgspec

from interlock.policy.model import Presets

__all__ = [
    "ENDPOINTS",
    "PROMPT_FLAVORS",
    "PROMPT_VERSIONS",
    "Architecture",
    "Blocker",
    "BranchingPolicy",
    "Classifier",
    "DualFsm",
    "Endpoint",
    "FsmConfig",
    "InternalTool",
    "PolicyConfig",
    "ResponseFormatConfig",
    "SessionConfig",
    "config_hash",
    "decode_config",
    "encode_config",
]

Architecture = Literal["single-llm", "dual-llm"]
Endpoint = Literal["chat", "code", "agent", "lang-graph", "policy-gen"]
InternalTool = Literal["parse_with_ai", "verify_hypothesis", "set_policy", "complete_turn"]

ENDPOINTS: Final[tuple[Endpoint, ...]] = ("chat", "code", "agent", "lang-graph", "policy-gen")

PROMPT_FLAVORS: Final[Mapping[str, tuple[str, ...]]] = {
    "pllm": ("universal", "code"),
    "rllm": ("universal",),
    "grllm": ("universal",),
    "qllm": ("universal",),
    "tllm": ("universal",),
    "tagllm": ("universal",),
    "policy_llm": ("universal",),
    "error_detector_llm": ("universal",),
}
"""Prompt template variants there are, by role of X-Config `prompt` (6.2)."""

PROMPT_VERSIONS: Final[tuple[str, ...]] = ("latest", "v1")
"""Template versions there are; `latest` is the newest of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A content classifier; a score at or above `threshold` (0..1) triggers it."""

    name: Literal[
        "pii_redaction", "toxicity_filter", "healthcare_topic_guardrail", "finance_topic_guardrail"
    ]
    threshold: float = 0.5
    """Already taken from `mode` where one was named."""
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
    """Without `language` cedar when blank: an empty policy has no language."""
    language: Literal["sqrt", "cedar"] = "sqrt"
    auto_gen: bool = False
    generated: str = ""
    """SQRT written for the session before it was planned (`auto_gen`); stands before `code`."""
    restrictions: str = ""
    """SQRT the session's planner added (`set_policy`); only restricts."""
    presets: Presets = Presets()
    branching: BranchingPolicy = BranchingPolicy()
    enforcement: Literal["enforce", "watch"] = "enforce"
    """`watch` only in `SessionConfig.shadow`: what is enforced is never a watched policy."""


class DualFsm(TypedDict, total=False):
    """The dual-llm part of X-Config `fsm` (6.1); in a built config every key is there."""

    clear_history_every_n_attempts: int | None
    disable_rllm: bool
    enable_multistep_planning: bool
    enabled_internal_tools: list[InternalTool]
    prune_failed_steps: bool
    force_to_cache: list[str]
    """Linear-time regular expressions, known to compile."""
    max_pllm_steps: int
    max_pllm_failed_steps: int | None
    """None: bounded by `max_pllm_steps` only."""
    max_tool_calls_per_step: int | None
    reduced_grammar_for_rllm_review: Literal["none", "bool", "text"]
    retry_on_policy_violation: bool
    wrap_tool_result: bool
    detect_tool_errors: Literal["none", "regex", "llm"]
    detect_tool_error_regex_pattern: str
    detect_tool_error_max_result_length: int | None
    strict_tool_result_parsing: bool
    tool_result_transform: Literal["none", "codex"]
    n_pllm_plans: int
    pllm_candidate_models: list[str] | None
    """None: the model of the request."""
    pllm_context_pruning: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FsmConfig:
    """X-Config `fsm`, complete; dual-only keys are kept but unused in single-llm."""

    min_num_tools_for_filtering: int | None = 10
    clear_session_meta: Literal["never", "every_attempt", "every_turn"] = "never"
    max_n_turns: int | None = None
    """None: unlimited."""
    history_mismatch_policy: Literal["reject", "restart_turn", "continue"] = "continue"
    dual: DualFsm = field(default_factory=DualFsm)


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
    """What is enforced."""
    shadow: PolicyConfig | None = None
    """What is watched next to it (11.2, `x_enforcement: watch`): decided and recorded,
    without effect on the outcome."""
    fsm: FsmConfig = FsmConfig()
    response_format: ResponseFormatConfig = ResponseFormatConfig()
    prompt: dict[str, Any] = field(default_factory=dict)
    """X-Config `prompt`, validated, by role: `pllm` with its defaults, of the others what was
    set; empty in single-llm."""
    llm: dict[str, dict[str, Any]] = field(default_factory=dict)
    """X-Config `llm`, validated: role -> overrides that were set."""
    digest: str = field(default="", compare=False)
    """`config_hash` of all the rest, filled in by the builder: equal digests, equal configs."""


def encode_config(config: SessionConfig) -> bytes:
    """A config as JSON, the same bytes for equal configs; `decode_config` reverses it."""
    return msgspec.json.encode(config, order="deterministic")


def decode_config(data: bytes) -> SessionConfig:
    """A config from what `encode_config` made.

    Raises msgspec.ValidationError when an incompatible version made it.
    """
    return msgspec.json.decode(data, type=SessionConfig)


def config_hash(config: SessionConfig) -> str:
    """32 hexadecimal characters that are equal exactly when the configs are."""
    return hashlib.sha256(encode_config(replace(config, digest=""))).hexdigest()[:32]
