"""The built-in config of each (endpoint type, architecture), and what each cannot do.

A config is, until it is frozen, a tree of plain JSON values in the shape of the
three headers: `{"x_features": {...}, "x_policy": {...}, "x_config": {...}}`. These
trees are complete: every key that has a default is there.

Source: gateway.md sections 1.4 (endpoint types), 5, 6 and 6.5 (feature matrix).
"""

from copy import deepcopy
from typing import Final

from interlock.gateway.config import Architecture, Endpoint

__all__ = ["Tree", "clamp", "preset"]

Tree = dict[str, object]
"""A JSON object under construction."""

_ERROR_PATTERN: Final = r"(?is)^\s*(error|exception|traceback|failed|fatal)\b"

_FEATURES: Final[Tree] = {"content_classifiers": [], "content_blockers": []}

_POLICY: Final[Tree] = {
    "mode": "standard",
    "codes": {"code": "", "language": "sqrt"},
    "auto_gen": False,
    "fail_fast": True,
    "presets": {
        "default_allow": True,
        "default_allow_enforcement_level": "soft",
        "enable_non_executable_memory": True,
        "enable_llm_blocked_tag": True,
        "llm_blocked_tag_enforcement_level": "hard",
        "branching_meta_policy": {"mode": "deny", "producers": [], "tags": [], "consumers": []},
    },
}

_FSM: Final[Tree] = {
    "min_num_tools_for_filtering": 10,
    "clear_session_meta": "never",
    "max_n_turns": None,
    "history_mismatch_policy": "continue",
    "clear_history_every_n_attempts": None,
    "disable_rllm": True,
    "enable_multistep_planning": False,
    "enabled_internal_tools": ["parse_with_ai", "verify_hypothesis"],
    "prune_failed_steps": True,
    "force_to_cache": [],
    "max_pllm_steps": 4,
    "max_pllm_failed_steps": None,
    "max_tool_calls_per_step": 200,
    "reduced_grammar_for_rllm_review": "text",
    "retry_on_policy_violation": False,
    "wrap_tool_result": False,
    "detect_tool_errors": "none",
    "detect_tool_error_regex_pattern": _ERROR_PATTERN,
    "detect_tool_error_max_result_length": None,
    "strict_tool_result_parsing": False,
    "tool_result_transform": "none",
    "n_pllm_plans": 1,
    "pllm_candidate_models": None,
    "pllm_context_pruning": True,
}

_RESPONSE_FORMAT: Final[Tree] = {
    "strip_response_content": False,
    "stream_thoughts": False,
    "include_program": False,
    "include_policy_check_history": False,
    "include_namespace_snapshot": False,
}

_PROMPT: Final[Tree] = {
    "pllm": {
        "flavor": "universal",
        "debug_info_level": "normal",
        "clarify_ambiguous_queries": True,
        "context_var_visibility": "none",
        "query_inline_roles": ["developer", "system", "assistant"],
        "query_include_tool_calls": True,
        "query_include_tool_args": False,
        "query_include_tool_results": False,
    },
}

_MULTISTEP_TOOLS: Final = ["parse_with_ai", "verify_hypothesis", "complete_turn"]

_FSM_OF_ENDPOINT: Final[dict[Endpoint, Tree]] = {
    "chat": {},
    "code": {
        "enable_multistep_planning": True,
        "enabled_internal_tools": _MULTISTEP_TOOLS,
        "history_mismatch_policy": "restart_turn",
        "tool_result_transform": "none",
    },
    "agent": {
        "enable_multistep_planning": True,
        "enabled_internal_tools": _MULTISTEP_TOOLS,
    },
    "lang-graph": {},
    "policy-gen": {},
}

_CHAT_DUAL_TURNS: Final = 5


def preset(endpoint: Endpoint, arch: Architecture) -> Tree:
    """The built-in config of an endpoint type and architecture: a fresh tree, the caller's own."""
    fsm = deepcopy(_FSM) | deepcopy(_FSM_OF_ENDPOINT[endpoint])
    if arch == "single-llm":
        # A relayed request gains no model call of ours unless somebody asks for it.
        fsm["min_num_tools_for_filtering"] = None
    if endpoint == "chat" and arch == "dual-llm":
        fsm["max_n_turns"] = _CHAT_DUAL_TURNS
    prompt = deepcopy(_PROMPT)
    if endpoint == "code":
        prompt["pllm"] = {**_PROMPT["pllm"], "flavor": "code"}  # type: ignore[dict-item]
    return {
        "x_features": {"agent_arch": arch, **deepcopy(_FEATURES)},
        "x_policy": deepcopy(_POLICY),
        "x_config": {
            "fsm": fsm,
            "prompt": prompt,
            "response_format": deepcopy(_RESPONSE_FORMAT),
            "llm": {},
        },
    }


def clamp(tree: Tree, endpoint: Endpoint, arch: Architecture) -> None:
    """Switches off, in place, what the architecture or endpoint cannot do, whoever asked for it.

    Asking is not an error: clients send one config to every architecture (6.5).
    """
    policy = _child(tree, "x_policy")
    config = _child(tree, "x_config")
    if arch == "single-llm":
        presets = _child(policy, "presets")
        defaults = _child(_POLICY, "presets")
        policy["auto_gen"] = False
        presets["enable_non_executable_memory"] = False
        presets["branching_meta_policy"] = deepcopy(defaults["branching_meta_policy"])
        config["response_format"] = deepcopy(_RESPONSE_FORMAT)
        config["prompt"] = {}
    if endpoint == "lang-graph":
        _child(config, "fsm")["disable_rllm"] = True


def _child(tree: Tree, key: str) -> Tree:
    child = tree[key]
    if not isinstance(child, dict):
        raise TypeError(f"{key} is not an object")
    return child
