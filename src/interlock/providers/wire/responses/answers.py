"""Whole answers of Responses."""

from interlock.kernel.errors import InterlockError
from interlock.providers.wire.codec import View
from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.model import (
    Failure,
    Part,
    Refusal,
    Response,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from interlock.providers.wire.reading import Losses, Tree
from interlock.providers.wire.responses.content import (
    content_parts,
    decode_reasoning,
    encode_output_part,
    encode_reasoning,
)

__all__ = [
    "Ids",
    "answer_id",
    "call_item",
    "decode_response",
    "encode_response",
    "encode_usage",
    "envelope",
    "message_item",
    "reasoning_item",
    "settle",
    "stop_of",
    "usage_of",
]

_SERVER_ERROR = Failure(code="server_error", message="the answer failed")
_REASON = {
    StopReason.LENGTH: "max_output_tokens",
    StopReason.REFUSAL: "content_filter",
}


def decode_response(tree: object) -> Response:
    """Raises `MalformedAnswerError`, with code `upstream_error` for a failed answer without output.

    A failed answer that says something keeps it, with stop `error` and its `failure`.
    """
    if not isinstance(tree, dict):
        raise MalformedAnswerError("the upstream's answer is not an object")
    output = tree.get("output")
    error = tree.get("error")
    if error and not output:
        message = error.get("message") if isinstance(error, dict) else error
        raise MalformedAnswerError(f"the upstream failed: {message}", code="upstream_error")
    if not isinstance(output, list):
        raise MalformedAnswerError("the upstream's answer has no output")
    parts: list[Part] = []
    for i, item in enumerate(output):
        if not isinstance(item, dict):
            raise MalformedAnswerError(f"item {i} of the upstream's answer is not an object")
        try:
            parts += output_parts(item, f"output[{i}]")
        except InterlockError as failure:
            raise MalformedAnswerError(
                f"item {i} of the upstream's answer is malformed"
            ) from failure
    called = any(isinstance(part, ToolCall) for part in parts)
    created = tree.get("created_at")
    return Response(
        id=_word(tree, "id"),
        model=_word(tree, "model"),
        created=int(created) if isinstance(created, int | float) else 0,
        parts=parts,
        stop=stop_of(tree, called=called),
        usage=usage_of(tree.get("usage")),
        failure=_failure(error) if tree.get("status") == "failed" else None,
    )


def _failure(error: object) -> Failure:
    if not isinstance(error, dict):
        return _SERVER_ERROR
    code = error.get("code")
    message = error.get("message")
    return Failure(
        code=code if isinstance(code, str) else _SERVER_ERROR.code,
        message=message if isinstance(message, str) else _SERVER_ERROR.message,
    )


def stop_of(tree: Tree, *, called: bool) -> StopReason:
    """What `status` and `incomplete_details` say about the end."""
    status = tree.get("status")
    if status == "failed":
        return StopReason.ERROR
    if status == "incomplete":
        details = tree.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return StopReason.REFUSAL if reason == "content_filter" else StopReason.LENGTH
    return StopReason.TOOL_CALLS if called else StopReason.END


def output_parts(item: Tree, at: str) -> list[Part]:
    """Parts of one output item; what the provider did itself is not shown in other formats."""
    kind = item.get("type")
    if kind == "message":
        return content_parts(item.get("content"), f"{at}.content", Losses())
    if kind == "reasoning":
        return [decode_reasoning(item, at)]
    if kind != "function_call":
        return []
    call_id = item.get("call_id")
    name = item.get("name")
    arguments = item.get("arguments")
    namespace = item.get("namespace")
    item_id = item.get("id")
    if not isinstance(call_id, str) or not isinstance(name, str):
        raise MalformedAnswerError(f"`{at}` has no call id or name")
    if not isinstance(arguments, str | None):
        raise MalformedAnswerError(f"`{at}.arguments` is not text")
    return [
        ToolCall(
            id=call_id,
            name=name,
            arguments=arguments or "{}",
            namespace=namespace if isinstance(namespace, str) else None,
            item_id=item_id if isinstance(item_id, str) else None,
        )
    ]


def _word(tree: Tree, key: str) -> str:
    value = tree.get(key)
    return value if isinstance(value, str) else ""


def _count(tree: object, key: str) -> int:
    value = tree.get(key) if isinstance(tree, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def usage_of(tree: object) -> Usage | None:
    """Counts of a `usage` member; None when there is none."""
    if not isinstance(tree, dict):
        return None
    return Usage(
        input=_count(tree, "input_tokens"),
        output=_count(tree, "output_tokens"),
        cache_read=_count(tree.get("input_tokens_details"), "cached_tokens"),
        cache_write=_count(tree.get("input_tokens_details"), "cache_write_tokens"),
        reasoning=_count(tree.get("output_tokens_details"), "reasoning_tokens"),
    )


def encode_usage(usage: Usage) -> Tree:
    """The `usage` member; its five fields are all required."""
    details = {"cached_tokens": usage.cache_read}
    if usage.cache_write:
        details["cache_write_tokens"] = usage.cache_write
    return {
        "input_tokens": usage.input,
        "input_tokens_details": details,
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


class Ids:
    """Ids of one response and its items, made from the upstream's id."""

    __slots__ = ("base", "response")

    def __init__(self, upstream_id: str, view: View) -> None:
        known = view.answer_id or upstream_id or view.session_id
        for prefix in ("resp_", "chatcmpl-", "msg_"):
            known = known.removeprefix(prefix)
        self.base = known
        self.response = f"resp_{self.base}"

    def item(self, prefix: str, index: int) -> str:
        """The id of output item `index`."""
        return f"{prefix}_{self.base}_{index}"


def answer_id(upstream_id: str, view: View) -> str:
    """See `Codec.answer_id`."""
    return Ids(upstream_id, view).response


def _echoed() -> Tree:
    """Members of the request the response repeats, as they stand when it has none."""
    return {
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": None,
        "safety_identifier": None,
        "service_tier": None,
        "store": True,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": None,
        "top_p": None,
        "truncation": "disabled",
        "user": None,
        "metadata": {},
    }


def envelope(ids: Ids, model: str, created: int, view: View) -> Tree:
    """A response before it says anything."""
    request = view.tree
    tree: Tree = {
        "id": ids.response,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "usage": None,
    }
    for name, default in _echoed().items():
        value = request.get(name)
        tree[name] = default if value is None else value
    conversation = request.get("conversation")
    if conversation is not None:
        named = {"id": conversation} if isinstance(conversation, str) else conversation
        tree["conversation"] = named
    return tree


def settle(
    tree: Tree, stop: StopReason, usage: Usage | None, failure: Failure | None = None
) -> None:
    """Gives `tree` its final status, reason and counts."""
    tree["status"] = "completed"
    if stop is StopReason.ERROR:
        failure = failure or _SERVER_ERROR
        tree["status"] = "failed"
        tree["error"] = {"code": failure.code, "message": failure.message}
    elif stop in _REASON:
        tree["status"] = "incomplete"
        tree["incomplete_details"] = {"reason": _REASON[stop]}
    tree["usage"] = encode_usage(usage) if usage is not None else None


def message_item(item_id: str, part: Text | Refusal, *, status: str = "completed") -> Tree:
    """An output message with one part."""
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [encode_output_part(part)],
    }


def call_item(item_id: str, call: ToolCall, call_id: str) -> Tree:
    """A finished function call."""
    tree: Tree = {
        "id": item_id,
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": call.name,
        "arguments": call.arguments or "{}",
    }
    if call.namespace is not None:
        tree["namespace"] = call.namespace
    return tree


def reasoning_item(item_id: str, part: Thinking) -> Tree:
    """A reasoning item, under the provider's own id when it gave one."""
    native = part.id is not None and part.origin == "responses"
    return encode_reasoning(part, part.id if native and part.id else item_id)


def encode_response(response: Response, view: View) -> Tree:
    """A whole answer; every part is an output item of its own."""
    ids = Ids(response.id, view)
    tree = envelope(ids, response.model, response.created, view)
    for i, part in enumerate(response.parts):
        if isinstance(part, Text | Refusal):
            tree["output"].append(message_item(ids.item("msg", i), part))
        elif isinstance(part, ToolCall):
            item_id = part.item_id or ids.item("fc", i)
            tree["output"].append(call_item(item_id, part, part.id))
        elif isinstance(part, Thinking):
            tree["output"].append(reasoning_item(ids.item("rs", i), part))
        else:
            raise MalformedAnswerError(f"an answer cannot hold `{type(part).__name__}`")
    settle(tree, response.stop, response.usage, response.failure)
    return tree
