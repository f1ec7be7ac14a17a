"""Token counts and stop reasons as the three formats write them.

Neutral counts: input includes cached tokens, output includes reasoning tokens
(gateway.md, section 17). Counts of a wrong type are read as absent: a provider
that miscounts must not cost the caller an answer.
"""

import math
from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from interlock.providers.wire.model import StopReason, Usage

__all__ = [
    "CHAT_STOPS",
    "MESSAGES_STOPS",
    "chat_stop",
    "chat_usage",
    "messages_stop",
    "messages_usage",
    "responses_stop",
    "responses_usage",
    "write_chat",
    "write_messages",
    "write_responses",
]

Tree = dict[str, Any]

CHAT_STOPS: Mapping[str, StopReason] = {
    "stop": StopReason.END,
    "length": StopReason.LENGTH,
    "tool_calls": StopReason.TOOL_CALLS,
    "function_call": StopReason.TOOL_CALLS,
    "content_filter": StopReason.REFUSAL,
    "error": StopReason.ERROR,
}
MESSAGES_STOPS: Mapping[str, StopReason] = {
    "end_turn": StopReason.END,
    "max_tokens": StopReason.LENGTH,
    "model_context_window_exceeded": StopReason.LENGTH,
    "stop_sequence": StopReason.STOP_SEQUENCE,
    "tool_use": StopReason.TOOL_CALLS,
    "pause_turn": StopReason.PAUSE,
    "refusal": StopReason.REFUSAL,
}
_TO_CHAT = {
    StopReason.LENGTH: "length",
    StopReason.TOOL_CALLS: "tool_calls",
    StopReason.REFUSAL: "content_filter",
}
_TO_MESSAGES = {
    StopReason.LENGTH: "max_tokens",
    StopReason.TOOL_CALLS: "tool_use",
    StopReason.STOP_SEQUENCE: "stop_sequence",
    StopReason.PAUSE: "pause_turn",
    StopReason.REFUSAL: "refusal",
}
_INCOMPLETE = {
    "max_output_tokens": StopReason.LENGTH,
    "content_filter": StopReason.REFUSAL,
}


def chat_stop(stop: StopReason) -> str:
    """The `finish_reason`; an error is told otherwise, never by this word (8.5)."""
    return _TO_CHAT.get(stop, "stop")


def messages_stop(stop: StopReason) -> str:
    """The `stop_reason`."""
    return _TO_MESSAGES.get(stop, "end_turn")


def responses_stop(response: Mapping[str, Any], *, called: bool) -> StopReason:
    """Why a response object ended; `called`: it contains calls for the client."""
    match response.get("status"):
        case "incomplete":
            details = response.get("incomplete_details")
            reason = details.get("reason") if isinstance(details, dict) else None
            return _INCOMPLETE.get(reason or "", StopReason.LENGTH)
        case "failed" | "cancelled":
            return StopReason.ERROR
        case _:
            return StopReason.TOOL_CALLS if called else StopReason.END


def _count(tree: object, name: str) -> int:
    value = tree.get(name) if isinstance(tree, dict) else None
    if isinstance(value, Raw):
        value = float(bytes(value))
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    return value if isinstance(value, int) and value > 0 else 0


def chat_usage(tree: object) -> Usage | None:
    """From a `usage` member of Chat Completions."""
    if not isinstance(tree, dict) or not tree:
        return None
    prompt, completion = tree.get("prompt_tokens_details"), tree.get("completion_tokens_details")
    return Usage(
        input=_count(tree, "prompt_tokens"),
        output=_count(tree, "completion_tokens"),
        cache_read=_count(prompt, "cached_tokens"),
        cache_write=_count(prompt, "cache_write_tokens"),
        reasoning=_count(completion, "reasoning_tokens"),
    )


def messages_usage(tree: object) -> Usage | None:
    """From a `usage` member of Messages, where input excludes cached tokens."""
    if not isinstance(tree, dict) or not tree:
        return None
    read = _count(tree, "cache_read_input_tokens")
    write = _count(tree, "cache_creation_input_tokens")
    return Usage(
        input=_count(tree, "input_tokens") + read + write,
        output=_count(tree, "output_tokens"),
        cache_read=read,
        cache_write=write,
    )


def responses_usage(tree: object) -> Usage | None:
    """From a `usage` member of Responses."""
    if not isinstance(tree, dict) or not tree:
        return None
    input_details = tree.get("input_tokens_details")
    return Usage(
        input=_count(tree, "input_tokens"),
        output=_count(tree, "output_tokens"),
        cache_read=_count(input_details, "cached_tokens"),
        cache_write=_count(input_details, "cache_write_tokens"),
        reasoning=_count(tree.get("output_tokens_details"), "reasoning_tokens"),
    )


def _details(old: object, **counts: int) -> Tree:
    """Detail counts: known ones replaced, new ones only when there is something to tell."""
    tree = dict(old) if isinstance(old, dict) else {}
    tree.update({name: n for name, n in counts.items() if n or name in tree})
    return tree


def write_chat(old: object, usage: Usage) -> Tree:
    """`old` with its counts replaced; other members stay."""
    tree = dict(old) if isinstance(old, dict) else {}
    tree["prompt_tokens"] = usage.input
    tree["completion_tokens"] = usage.output
    tree["total_tokens"] = usage.input + usage.output
    prompt = _details(
        tree.get("prompt_tokens_details"),
        cached_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
    )
    completion = _details(tree.get("completion_tokens_details"), reasoning_tokens=usage.reasoning)
    if prompt:
        tree["prompt_tokens_details"] = prompt
    if completion:
        tree["completion_tokens_details"] = completion
    return tree


def write_messages(old: object, usage: Usage) -> Tree:
    """`old` with its counts replaced; other members stay."""
    tree = dict(old) if isinstance(old, dict) else {}
    tree["input_tokens"] = max(usage.input - usage.cache_read - usage.cache_write, 0)
    tree["output_tokens"] = usage.output
    tree.update(
        _details(
            tree,
            cache_creation_input_tokens=usage.cache_write,
            cache_read_input_tokens=usage.cache_read,
        )
    )
    return tree


def write_responses(old: object, usage: Usage) -> Tree:
    """`old` with its counts replaced; all five counts are always there (8.3)."""
    tree = dict(old) if isinstance(old, dict) else {}
    tree["input_tokens"] = usage.input
    before = tree.get("input_tokens_details")
    tree["input_tokens_details"] = {
        **_details(before, cache_write_tokens=usage.cache_write),
        "cached_tokens": usage.cache_read,
    }
    tree["output_tokens"] = usage.output
    tree["output_tokens_details"] = {
        **_details(tree.get("output_tokens_details")),
        "reasoning_tokens": usage.reasoning,
    }
    tree["total_tokens"] = usage.input + usage.output
    return tree
