"""X-Config: `fsm`, `prompt`, `response_format`, `llm`.

Source: gateway.md section 6.
"""

from typing import Annotated, ClassVar, Final, Literal

import re2
from pydantic import AfterValidator, BeforeValidator, Field

from interlock.gateway.config import InternalTool
from interlock.surfaces.control.schemas.base import HeaderModel

__all__ = [
    "ConfigHeader",
    "FsmItem",
    "LlmItem",
    "LlmRolesItem",
    "PllmPromptItem",
    "PromptItem",
    "ReasoningItem",
    "ResponseFormatItem",
    "RllmPromptItem",
    "RolePromptItem",
    "TllmPromptItem",
]

_RETIRED_TOOLS: Final = frozenset({"plan_and_execute"})
"""Internal tools of experimental clients; naming one has no effect."""

_CHECK = re2.Options()
_CHECK.log_errors = False
_CHECK.max_mem = 64 << 10
"""Patterns are compiled here only to see whether they are any; this bounds what a hostile
one costs to a few milliseconds."""


def _compiles(pattern: str) -> str:
    try:
        re2.compile(pattern, _CHECK)
    except re2.error as error:
        reason = error.args[0] if error.args else "syntax error"
        if isinstance(reason, bytes):
            reason = reason.decode("utf-8", "replace")
        raise ValueError(f"not a valid regular expression: {reason}") from None
    return pattern


def _without_retired(value: object) -> object:
    if isinstance(value, list):
        return [tool for tool in value if not (isinstance(tool, str) and tool in _RETIRED_TOOLS)]
    return value


def _review_grammar(value: object) -> object:
    """Older clients send a boolean."""
    if isinstance(value, bool):
        return "text" if value else "none"
    return value


Regex = Annotated[str, Field(max_length=500), AfterValidator(_compiles)]
"""RE2 syntax: no look-around, no back-references, linear time."""

AtLeastOne = Annotated[int, Field(ge=1, le=2**31 - 1)]
Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class FsmItem(HeaderModel):
    """`fsm`: how a session runs."""

    ignored: ClassVar[frozenset[str]] = frozenset({"invalidate_program_cache_on_failure"})

    min_num_tools_for_filtering: Annotated[int, Field(ge=2, le=2**31 - 1)] | None = None
    clear_session_meta: Literal["never", "every_attempt", "every_turn"] | None = None
    max_n_turns: AtLeastOne | None = None
    history_mismatch_policy: Literal["reject", "restart_turn", "continue"] | None = None
    clear_history_every_n_attempts: AtLeastOne | None = None
    disable_rllm: bool | None = None
    enable_multistep_planning: bool | None = None
    enabled_internal_tools: (
        Annotated[list[InternalTool], BeforeValidator(_without_retired)] | None
    ) = None
    prune_failed_steps: bool | None = None
    force_to_cache: Annotated[list[Regex], Field(max_length=64)] | None = None
    max_pllm_steps: AtLeastOne | None = None
    max_pllm_failed_steps: AtLeastOne | None = None
    max_tool_calls_per_step: AtLeastOne | None = None
    reduced_grammar_for_rllm_review: (
        Annotated[Literal["none", "bool", "text"], BeforeValidator(_review_grammar)] | None
    ) = None
    retry_on_policy_violation: bool | None = None
    wrap_tool_result: bool | None = None
    detect_tool_errors: Literal["none", "regex", "llm"] | None = None
    detect_tool_error_regex_pattern: Regex | None = None
    detect_tool_error_max_result_length: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    strict_tool_result_parsing: bool | None = None
    tool_result_transform: Literal["none", "codex"] | None = None
    n_pllm_plans: AtLeastOne | None = None
    pllm_candidate_models: list[Annotated[str, Field(min_length=1)]] | None = None
    pllm_context_pruning: bool | None = None


class RolePromptItem(HeaderModel):
    """Prompt of a role: which template."""

    flavor: str | None = None
    version: str | None = None


class RllmPromptItem(RolePromptItem):
    """Prompt of the review model."""

    debug_info_level: Literal["minimal", "normal", "extra"] | None = None


class PllmPromptItem(RllmPromptItem):
    """Prompt of the planner."""

    clarify_ambiguous_queries: bool | None = None
    context_var_visibility: (
        Literal["none", "basic-notext", "basic-executable", "all-executable", "all"] | None
    ) = None
    query_inline_roles: list[Literal["assistant", "tool", "developer", "system"]] | None = None
    query_role_name_overrides: dict[str, str] | None = None
    query_include_tool_calls: bool | None = None
    query_include_tool_args: bool | None = None
    query_include_tool_results: bool | None = None


class TllmPromptItem(RolePromptItem):
    """Prompt of the model that selects tools."""

    add_tool_description: bool | None = None
    add_tool_input_schema: bool | None = None


class PromptItem(HeaderModel):
    """`prompt`, by role."""

    pllm: PllmPromptItem | None = None
    rllm: RllmPromptItem | None = None
    grllm: RolePromptItem | None = None
    qllm: RolePromptItem | None = None
    tllm: TllmPromptItem | None = None
    tagllm: RolePromptItem | None = None
    policy_llm: RolePromptItem | None = None
    error_detector_llm: RolePromptItem | None = None


class ResponseFormatItem(HeaderModel):
    """`response_format`: what the final assistant message contains."""

    strip_response_content: bool | None = None
    stream_thoughts: bool | None = None
    include_program: bool | None = None
    include_policy_check_history: bool | None = None
    include_namespace_snapshot: bool | None = None


class ReasoningItem(HeaderModel):
    """How much a role may think."""

    enabled: bool | None = None
    effort: str | None = None
    budget: AtLeastOne | None = None
    adaptive: bool | None = None


class LlmItem(HeaderModel):
    """Sampling overrides of a role."""

    frequency_penalty: float | None = Field(None, ge=-2.0, le=2.0)
    presence_penalty: float | None = Field(None, ge=-2.0, le=2.0)
    logit_bias: dict[str, Int64] | None = None
    logprobs: bool | None = None
    max_completion_tokens: AtLeastOne | None = None
    seed: Int64 | None = None
    temperature: float | None = Field(None, ge=0.0, le=2.0)
    top_p: float | None = Field(None, ge=0.0, le=1.0)
    reasoning: ReasoningItem | None = None


class LlmRolesItem(HeaderModel):
    """`llm`, by role. The error detector has a longer name here than in `prompt`."""

    pllm: LlmItem | None = None
    rllm: LlmItem | None = None
    grllm: LlmItem | None = None
    qllm: LlmItem | None = None
    tllm: LlmItem | None = None
    tagllm: LlmItem | None = None
    policy_llm: LlmItem | None = None
    tool_result_error_detector_llm: LlmItem | None = None


class ConfigHeader(HeaderModel):
    """The X-Config header."""

    fsm: FsmItem | None = None
    prompt: PromptItem | None = None
    response_format: ResponseFormatItem | None = None
    llm: LlmRolesItem | None = None
