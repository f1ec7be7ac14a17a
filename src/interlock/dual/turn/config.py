"""The part of a session's config that a turn acts on, complete: every default is filled in.

A plain mirror of X-Config `fsm`, `prompt` and `response_format` and of the presets that
concern values, so that nothing here depends on who parsed the headers.

Source: gateway.md sections 6.1 to 6.3.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from interlock.policy.model import LabelSet

__all__ = [
    "ALL_INTERNAL_TOOLS",
    "AnswerFormat",
    "Branching",
    "DebugLevel",
    "DualConfig",
    "Fsm",
    "InternalToolName",
    "PlannerPrompt",
    "Prompts",
    "ReviewPrompt",
    "RolePrompt",
    "ToolFilterPrompt",
    "Visibility",
]

InternalToolName = Literal["parse_with_ai", "verify_hypothesis", "set_policy", "complete_turn"]
ALL_INTERNAL_TOOLS: Final[tuple[InternalToolName, ...]] = (
    "parse_with_ai",
    "verify_hypothesis",
    "set_policy",
    "complete_turn",
)

Visibility = Literal["none", "basic-notext", "basic-executable", "all-executable", "all"]
DebugLevel = Literal["minimal", "normal", "extra"]
InlineRole = Literal["assistant", "tool", "developer", "system"]

ERROR_PATTERN: Final = r"(?is)^\s*(error|exception|traceback|failed|fatal)\b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fsm:
    """X-Config `fsm`, as far as a turn acts on it (6.1)."""

    min_num_tools_for_filtering: int | None = 10
    """None: never filter."""
    clear_session_meta: Literal["never", "every_attempt", "every_turn"] = "never"
    clear_history_every_n_attempts: int | None = None
    disable_rllm: bool = True
    enable_multistep_planning: bool = False
    enabled_internal_tools: tuple[InternalToolName, ...] = ("parse_with_ai", "verify_hypothesis")
    prune_failed_steps: bool = True
    force_to_cache: tuple[str, ...] = ()
    """Linear-time regular expressions over tool names, full match."""
    max_pllm_steps: int = 4
    max_pllm_failed_steps: int | None = None
    """None: bounded by `max_pllm_steps` only."""
    max_tool_calls_per_step: int | None = 200
    reduced_grammar_for_rllm_review: Literal["none", "bool", "text"] = "text"
    retry_on_policy_violation: bool = False
    wrap_tool_result: bool = False
    detect_tool_errors: Literal["none", "regex", "llm"] = "none"
    detect_tool_error_regex_pattern: str = ERROR_PATTERN
    detect_tool_error_max_result_length: int | None = None
    """Characters looked at for detection; None: all."""
    strict_tool_result_parsing: bool = False
    tool_result_transform: Literal["none", "codex"] = "none"
    n_pllm_plans: int = 1
    pllm_candidate_models: tuple[str, ...] = ()
    """Empty: the model of the request."""
    pllm_context_pruning: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RolePrompt:
    """Which template a role's system prompt is made from."""

    flavor: str = "universal"
    version: str = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPrompt(RolePrompt):
    """X-Config `prompt.rllm`."""

    debug_info_level: DebugLevel = "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerPrompt(ReviewPrompt):
    """X-Config `prompt.pllm`."""

    clarify_ambiguous_queries: bool = True
    context_var_visibility: Visibility = "none"
    query_inline_roles: frozenset[InlineRole] = frozenset({"developer", "system", "assistant"})
    query_role_name_overrides: dict[str, str] = field(default_factory=dict)
    query_include_tool_calls: bool = True
    query_include_tool_args: bool = False
    query_include_tool_results: bool = False
    """True shows the planner untrusted text of earlier turns: the caller's explicit choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFilterPrompt(RolePrompt):
    """X-Config `prompt.tllm`."""

    add_tool_description: bool = True
    add_tool_input_schema: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """X-Config `prompt`, for the roles a turn asks."""

    pllm: PlannerPrompt = PlannerPrompt()
    rllm: ReviewPrompt = ReviewPrompt()
    grllm: RolePrompt = RolePrompt()
    qllm: RolePrompt = RolePrompt()
    tllm: ToolFilterPrompt = ToolFilterPrompt()
    error_detector_llm: RolePrompt = RolePrompt()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFormat:
    """X-Config `response_format` (6.3), as far as it shapes the content."""

    strip_response_content: bool = False
    include_program: bool = False
    include_policy_check_history: bool = False
    include_namespace_snapshot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Branching:
    """Which labels a branch condition may carry: `policy.branching.BranchRules`."""

    mode: Literal["deny", "allow"] = "deny"
    producers: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    consumers: frozenset[str] = frozenset()

    @property
    def listed(self) -> tuple[LabelSet, LabelSet, LabelSet]:
        """Tags, producers and consumers as label sets."""
        return LabelSet(self.tags), LabelSet(self.producers), LabelSet(self.consumers)


@dataclass(frozen=True, slots=True, kw_only=True)
class DualConfig:
    """Everything of the session's config that decides how a turn runs."""

    fsm: Fsm = Fsm()
    prompt: Prompts = Prompts()
    response_format: AnswerFormat = AnswerFormat()
    strict: bool = False
    """X-Policy `mode: strict`: implicit flows are tracked."""
    branching: Branching | None = None
    """Only in mode `custom` (11.9)."""
    non_executable: bool = True
    """Preset `enable_non_executable_memory`: tool results get the tag `__non_executable`."""
    max_steps: int = 200_000
    """Interpreter steps per attempt (10.4)."""
    max_bytes: int = 64 << 20
    """Size of all values of a program."""
