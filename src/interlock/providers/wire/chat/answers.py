"""Whole answers of Chat Completions."""

from collections.abc import Sequence

from interlock.kernel.errors import InterlockError
from interlock.providers.wire.chat.content import content_parts, reasoning_parts
from interlock.providers.wire.chat.request_out import put_reasoning
from interlock.providers.wire.codec import View
from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.model import (
    Part,
    Refusal,
    Response,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from interlock.providers.wire.reading import Tree

__all__ = [
    "FINISH",
    "STOP",
    "answer_id",
    "decode_response",
    "encode_response",
    "encode_usage",
    "legacy",
    "usage_of",
]

STOP = {
    "stop": StopReason.END,
    "length": StopReason.LENGTH,
    "tool_calls": StopReason.TOOL_CALLS,
    "function_call": StopReason.TOOL_CALLS,
    "content_filter": StopReason.REFUSAL,
    "error": StopReason.ERROR,
}
"""What finish reasons mean; an unknown one is an end."""

FINISH = {
    StopReason.END: "stop",
    StopReason.STOP_SEQUENCE: "stop",
    StopReason.PAUSE: "stop",
    StopReason.LENGTH: "length",
    StopReason.TOOL_CALLS: "tool_calls",
    StopReason.REFUSAL: "content_filter",
    StopReason.ERROR: "error",
}


def decode_response(tree: object) -> Response:
    """Raises `MalformedAnswerError`, with code `upstream_error` for an error in a good status."""
    if not isinstance(tree, dict):
        raise MalformedAnswerError("the upstream's answer is not an object")
    error = tree.get("error")
    choices = tree.get("choices")
    if error and not choices:
        message = error.get("message") if isinstance(error, dict) else error
        raise MalformedAnswerError(f"the upstream failed: {message}", code="upstream_error")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise MalformedAnswerError("the upstream's answer has no choices")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise MalformedAnswerError("the upstream's answer has no message")
    parts = _parts(message)
    stop = STOP.get(str(choice.get("finish_reason")), StopReason.END)
    if stop is StopReason.END and any(isinstance(part, ToolCall) for part in parts):
        stop = StopReason.TOOL_CALLS
    created = tree.get("created")
    return Response(
        id=_word(tree, "id"),
        model=_word(tree, "model"),
        created=int(created) if isinstance(created, int | float) else 0,
        parts=parts,
        stop=stop,
        usage=usage_of(tree.get("usage")),
    )


def _word(tree: Tree, key: str) -> str:
    value = tree.get(key)
    return value if isinstance(value, str) else ""


def _parts(message: Tree) -> list[Part]:
    try:
        parts = reasoning_parts(message, "message.", upstream=True)
        parts += content_parts(message.get("content"), "message.content")
    except InterlockError as error:
        raise MalformedAnswerError("the upstream's message is malformed") from error
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(Refusal(text=refusal))
    calls = message.get("tool_calls")
    for i, call in enumerate(calls if isinstance(calls, list) else ()):
        if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
            raise MalformedAnswerError(f"tool call {i} of the upstream's answer is malformed")
        call_id = _word(call, "id") or f"call_{i}"
        parts.append(_call(call["function"], call_id))
    function = message.get("function_call")
    if isinstance(function, dict):
        parts.append(_call(function, f"call_{_word(function, 'name')}"))
    return parts


def _call(function: Tree, call_id: str) -> ToolCall:
    name = function.get("name")
    arguments = function.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, str | None):
        raise MalformedAnswerError(f"tool call `{call_id}` of the upstream's answer is malformed")
    return ToolCall(id=call_id, name=name, arguments=arguments or "{}")


def _count(tree: object, key: str) -> int:
    value = tree.get(key) if isinstance(tree, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def usage_of(tree: object) -> Usage | None:
    """Counts of a `usage` member; None when there is none."""
    if not isinstance(tree, dict):
        return None
    prompt = tree.get("prompt_tokens_details")
    return Usage(
        input=_count(tree, "prompt_tokens"),
        output=_count(tree, "completion_tokens"),
        cache_read=_count(prompt, "cached_tokens"),
        cache_write=_count(prompt, "cache_write_tokens"),
        reasoning=_count(tree.get("completion_tokens_details"), "reasoning_tokens"),
    )


def encode_usage(usage: Usage) -> Tree:
    """The `usage` member."""
    prompt = {"cached_tokens": usage.cache_read}
    if usage.cache_write:
        prompt["cache_write_tokens"] = usage.cache_write
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def answer_id(upstream_id: str, view: View) -> str:
    """See `Codec.answer_id`."""
    return upstream_id or view.session_id


def legacy(view: View) -> bool:
    """Whether the client offered `functions`, the deprecated way, and expects them back."""
    return bool(view.tree.get("functions")) and not view.tree.get("tools")


def encode_response(response: Response, view: View) -> Tree:
    """A whole answer; `content` is always text, as the published clients expect."""
    message = _message(response.parts, functions=legacy(view))
    finish = FINISH[response.stop]
    if "function_call" in message and finish == "tool_calls":
        finish = "function_call"
    body: Tree = {
        "id": answer_id(response.id, view),
        "object": "chat.completion",
        "created": response.created,
        "model": response.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
    }
    if response.usage is not None:
        body["usage"] = encode_usage(response.usage)
    return body


def _message(parts: Sequence[Part], *, functions: bool) -> Tree:
    said = "".join(part.text for part in parts if isinstance(part, Text))
    refused = [part.text for part in parts if isinstance(part, Refusal)]
    message: Tree = {
        "role": "assistant",
        "content": said,
        "refusal": "".join(refused) if refused else None,
    }
    put_reasoning(message, [part for part in parts if isinstance(part, Thinking)])
    calls = [part for part in parts if isinstance(part, ToolCall)]
    if functions and calls:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
    elif calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.qualified, "arguments": call.arguments},
            }
            for call in calls
        ]
    return message
