"""Whole answers of Messages."""

from interlock.kernel.errors import InterlockError
from interlock.providers.wire.codec import View
from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.messages.blocks import (
    decode_block,
    encode_block,
    encode_call,
    encode_thinking,
)
from interlock.providers.wire.model import (
    Document,
    Image,
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
    "REASON",
    "STOP",
    "answer_id",
    "decode_response",
    "encode_response",
    "encode_usage",
    "envelope",
    "usage_of",
]

STOP = {
    "end_turn": StopReason.END,
    "max_tokens": StopReason.LENGTH,
    "model_context_window_exceeded": StopReason.LENGTH,
    "stop_sequence": StopReason.STOP_SEQUENCE,
    "tool_use": StopReason.TOOL_CALLS,
    "pause_turn": StopReason.PAUSE,
    "refusal": StopReason.REFUSAL,
}
"""What stop reasons mean; an unknown one is an end."""

REASON = {
    StopReason.END: "end_turn",
    StopReason.LENGTH: "max_tokens",
    StopReason.STOP_SEQUENCE: "stop_sequence",
    StopReason.TOOL_CALLS: "tool_use",
    StopReason.PAUSE: "pause_turn",
    StopReason.REFUSAL: "refusal",
    StopReason.ERROR: "end_turn",
}

_READ = ("text", "thinking", "redacted_thinking", "tool_use")


def decode_response(tree: object) -> Response:
    """Raises `MalformedAnswerError`, with code `upstream_error` for an error in a good status."""
    if not isinstance(tree, dict):
        raise MalformedAnswerError("the upstream's answer is not an object")
    if tree.get("type") == "error":
        error = tree.get("error")
        message = error.get("message") if isinstance(error, dict) else error
        raise MalformedAnswerError(f"the upstream failed: {message}", code="upstream_error")
    content = tree.get("content")
    if not isinstance(content, list):
        raise MalformedAnswerError("the upstream's answer has no content")
    parts: list[Part] = []
    for i, block in enumerate(content):
        if not isinstance(block, dict):
            raise MalformedAnswerError(f"block {i} of the upstream's answer is not an object")
        if block.get("type") not in _READ:
            continue
        try:
            part = decode_block(block, f"content[{i}]")
        except InterlockError as error:
            raise MalformedAnswerError(
                f"block {i} of the upstream's answer is malformed"
            ) from error
        parts.append(part)
    sequence = tree.get("stop_sequence")
    return Response(
        id=_word(tree, "id"),
        model=_word(tree, "model"),
        created=0,
        parts=parts,
        stop=STOP.get(str(tree.get("stop_reason")), StopReason.END),
        stop_sequence=sequence if isinstance(sequence, str) else None,
        usage=usage_of(tree.get("usage")),
    )


def _word(tree: Tree, key: str) -> str:
    value = tree.get(key)
    return value if isinstance(value, str) else ""


def _count(tree: object, key: str) -> int:
    value = tree.get(key) if isinstance(tree, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def usage_of(tree: object) -> Usage | None:
    """Counts of a `usage` member, whose input tokens leave the cached ones out."""
    if not isinstance(tree, dict):
        return None
    read = _count(tree, "cache_read_input_tokens")
    write = _count(tree, "cache_creation_input_tokens")
    return Usage(
        input=_count(tree, "input_tokens") + read + write,
        output=_count(tree, "output_tokens"),
        cache_read=read,
        cache_write=write,
        reasoning=_count(tree.get("output_tokens_details"), "thinking_tokens"),
    )


def encode_usage(usage: Usage) -> Tree:
    """The `usage` member."""
    tree: Tree = {
        "input_tokens": max(usage.input - usage.cache_read - usage.cache_write, 0),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }
    if usage.reasoning:
        tree["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return tree


def answer_id(upstream_id: str, view: View) -> str:
    """See `Codec.answer_id`."""
    known = upstream_id or view.session_id
    return f"msg_{known.removeprefix('chatcmpl-').removeprefix('resp_').removeprefix('msg_')}"


def envelope(upstream_id: str, model: str, view: View) -> Tree:
    """An answer before it says anything."""
    return {
        "id": answer_id(upstream_id, view),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": encode_usage(Usage()),
    }


def encode_response(response: Response, view: View) -> Tree:
    """A whole answer. Raises `MalformedAnswerError` for arguments that are not an object."""
    tree = envelope(response.id, response.model, view)
    tree["content"] = [_block(part, view) for part in response.parts]
    tree["stop_reason"] = REASON[response.stop]
    tree["stop_sequence"] = response.stop_sequence
    tree["usage"] = encode_usage(response.usage or Usage())
    return tree


def _block(part: Part, view: View) -> Tree:
    if isinstance(part, Text | Image | Document):
        return encode_block(part)
    if isinstance(part, Refusal):
        return {"type": "text", "text": part.text}
    if isinstance(part, Thinking):
        block = encode_thinking(part)
        if not view.native and block["type"] == "thinking":
            block["text"] = part.text
        return block
    if isinstance(part, ToolCall):
        call = encode_call(part)
        if call is None:
            raise MalformedAnswerError(f"the arguments of call `{part.id}` are not an object")
        return call
    raise MalformedAnswerError(f"an answer cannot hold `{type(part).__name__}`")
