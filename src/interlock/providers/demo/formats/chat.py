"""OpenAI Chat Completions, from the provider's side."""

from collections.abc import Iterator
from typing import Any

import msgspec

from interlock.providers.demo.formats.ids import NewId
from interlock.providers.demo.formats.reading import (
    BadRequestError,
    model,
    optional,
    present,
    rows,
)
from interlock.providers.demo.model import Script
from interlock.providers.wire.model import (
    Audio,
    Document,
    Image,
    Message,
    OutputFormat,
    Part,
    Refusal,
    Request,
    Role,
    StopReason,
    Text,
    ToolCall,
    ToolChoice,
    ToolDef,
    ToolResult,
)

__all__ = ["read", "stream", "whole"]

_FINISH = {
    StopReason.END: "stop",
    StopReason.STOP_SEQUENCE: "stop",
    StopReason.LENGTH: "length",
    StopReason.TOOL_CALLS: "tool_calls",
}
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_FRAGMENT = 16


def read(tree: dict[str, Any]) -> Request:
    """The request, or BadRequestError as the provider would refuse it."""
    given = present(tree, "messages", list)
    if not given:
        raise BadRequestError("Invalid 'messages': empty array.", "messages", "empty_array")
    messages = [_message(one, f"messages[{i}]") for i, one in enumerate(rows(given, "messages"))]
    _paired(messages)
    stop = tree.get("stop")
    options = optional(tree, "stream_options", dict) or {}
    return Request(
        model=model(tree),
        messages=messages,
        tools=[_tool(one, f"tools[{i}]") for i, one in enumerate(rows(tree.get("tools"), "tools"))],
        tool_choice=_choice(tree.get("tool_choice")),
        parallel_tool_calls=optional(tree, "parallel_tool_calls", bool),
        max_tokens=optional(tree, "max_completion_tokens", int)
        or optional(tree, "max_tokens", int),
        stop=[stop] if isinstance(stop, str) else [s for s in stop or [] if isinstance(s, str)],
        output_format=_output(optional(tree, "response_format", dict)),
        stream=optional(tree, "stream", bool) or False,
        include_usage=options.get("include_usage") is True,
    )


def _message(tree: dict[str, Any], where: str) -> Message:
    role = _ROLES.get(str(tree.get("role")))
    if role is None:
        raise BadRequestError(
            f"Invalid value: '{tree.get('role')}'.", f"{where}.role", "invalid_value"
        )
    parts = _content(tree.get("content"), where)
    if role == "tool":
        call_id = tree.get("tool_call_id") or tree.get("name")
        if not isinstance(call_id, str):
            raise BadRequestError(
                f"Missing required parameter: '{where}.tool_call_id'.", f"{where}.tool_call_id"
            )
        content = [part for part in parts if isinstance(part, (Text, Image, Document))]
        return Message(role=role, parts=[ToolResult(call_id=call_id, content=content)])
    for index, call in enumerate(rows(tree.get("tool_calls"), f"{where}.tool_calls")):
        path = f"{where}.tool_calls[{index}]."
        function = present(call, "function", dict, path)
        parts.append(
            ToolCall(
                id=present(call, "id", str, path),
                name=present(function, "name", str, f"{path}function."),
                arguments=present(function, "arguments", str, f"{path}function."),
            )
        )
    return Message(role=role, parts=parts)


def _content(content: object, where: str) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(text=content)]
    parts: list[Part] = []
    for index, part in enumerate(rows(content, f"{where}.content")):
        path = f"{where}.content[{index}]."
        kind = part.get("type")
        if kind == "text":
            parts.append(Text(text=present(part, "text", str, path)))
        elif kind == "refusal":
            parts.append(Refusal(text=present(part, "refusal", str, path)))
        elif kind == "image_url":
            parts.append(Image(url=str(present(part, "image_url", dict, path).get("url"))))
        elif kind == "input_audio":
            audio = present(part, "input_audio", dict, path)
            parts.append(Audio(data=str(audio.get("data")), format=str(audio.get("format"))))
        elif kind == "file":
            file = present(part, "file", dict, path)
            parts.append(Document(data=file.get("file_data"), file_id=file.get("file_id")))
        else:
            raise BadRequestError(f"Invalid value: '{kind}'.", f"{path}type", "invalid_value")
    return parts


def _paired(messages: list[Message]) -> None:
    """Every call is answered by the tool messages right behind it, and nothing else is."""
    open_ids: set[str] = set()
    for index, message in enumerate(messages):
        if message.role == "tool":
            for part in message.parts:
                if isinstance(part, ToolResult):
                    if part.call_id not in open_ids:
                        raise BadRequestError(
                            "Invalid parameter: messages with role 'tool' must be a response to "
                            "a preceeding message with 'tool_calls'.",
                            f"messages.[{index}].role",
                        )
                    open_ids.discard(part.call_id)
            continue
        if open_ids:
            raise _unanswered(open_ids, index)
        open_ids = {part.id for part in message.parts if isinstance(part, ToolCall)}
    if open_ids:
        raise _unanswered(open_ids, len(messages))


def _unanswered(ids: set[str], index: int) -> BadRequestError:
    return BadRequestError(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        + ", ".join(sorted(ids)),
        f"messages.[{index}].role",
    )


def _tool(tree: dict[str, Any], where: str) -> ToolDef:
    if tree.get("type") != "function":
        raise BadRequestError(
            f"Invalid value: '{tree.get('type')}'.", f"{where}.type", "invalid_value"
        )
    function = present(tree, "function", dict, f"{where}.")
    return ToolDef(
        name=present(function, "name", str, f"{where}.function."),
        description=optional(function, "description", str, f"{where}.function."),
        schema=optional(function, "parameters", dict, f"{where}.function.") or {},
    )


def _choice(value: object) -> ToolChoice | None:
    if value == "none":
        return ToolChoice(mode="none")
    if value == "required":
        return ToolChoice(mode="required")
    if isinstance(value, dict):
        function = value.get("function")
        name = function.get("name") if isinstance(function, dict) else value.get("name")
        return ToolChoice(mode="tool", name=name) if isinstance(name, str) else None
    return None


def _output(tree: dict[str, Any] | None) -> OutputFormat | None:
    if tree is None or tree.get("type") == "text":
        return None
    if tree.get("type") == "json_object":
        return OutputFormat(kind="json_object")
    inner = present(tree, "json_schema", dict, "response_format.")
    return OutputFormat(
        kind="json_schema",
        name=optional(inner, "name", str),
        schema=optional(inner, "schema", dict),
    )


def whole(request: Request, script: Script, new_id: NewId, created: int) -> bytes:
    """The `chat.completion` object."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": script.text if script.pieces or not script.calls else None,
        "refusal": None,
        "annotations": [],
    }
    if script.calls:
        message["tool_calls"] = [
            {
                "id": new_id("call_"),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in script.calls
        ]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _FINISH[script.stop],
    }
    return msgspec.json.encode(
        {
            "id": new_id("chatcmpl-"),
            "object": "chat.completion",
            "created": created,
            "model": request.model,
            "choices": [choice],
            "usage": _usage(script),
            "service_tier": "default",
            "system_fingerprint": "fp_interlock_demo",
        }
    )


def _usage(script: Script) -> dict[str, Any]:
    usage = script.usage
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def stream(request: Request, script: Script, new_id: NewId, created: int) -> Iterator[bytes]:
    """The chunks, usage only when asked for, and `[DONE]`."""
    base: dict[str, Any] = {
        "id": new_id("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": created,
        "model": request.model,
        "service_tier": "default",
        "system_fingerprint": "fp_interlock_demo",
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        tree = {**base, "choices": [choice]}
        if request.include_usage:
            tree["usage"] = None
        return b"data: " + msgspec.json.encode(tree) + b"\n\n"

    first = None if script.calls and not script.pieces else ""
    yield chunk({"role": "assistant", "content": first, "refusal": None})
    for piece in script.pieces:
        yield chunk({"content": piece})
    for index, call in enumerate(script.calls):
        head = {"name": call.name, "arguments": ""}
        opening = {"index": index, "id": new_id("call_"), "type": "function", "function": head}
        yield chunk({"tool_calls": [opening]})
        for at in range(0, len(call.arguments), _FRAGMENT):
            fragment = {"arguments": call.arguments[at : at + _FRAGMENT]}
            yield chunk({"tool_calls": [{"index": index, "function": fragment}]})
    yield chunk({}, _FINISH[script.stop])
    if request.include_usage:
        tree = {**base, "choices": [], "usage": _usage(script)}
        yield b"data: " + msgspec.json.encode(tree) + b"\n\n"
    yield b"data: [DONE]\n\n"
