"""Anthropic Messages, from the provider's side."""

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
    Document,
    Image,
    Message,
    OutputFormat,
    Part,
    Request,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolDef,
    ToolResult,
)

__all__ = ["read", "stream", "whole"]

_STOP = {
    StopReason.END: "end_turn",
    StopReason.STOP_SEQUENCE: "stop_sequence",
    StopReason.LENGTH: "max_tokens",
    StopReason.TOOL_CALLS: "tool_use",
}
_FRAGMENT = 16


def read(tree: dict[str, Any], *, counting: bool = False) -> Request:
    """The request, or BadRequestError; `counting`: a count_tokens body, without max_tokens."""
    name = model(tree)
    limit = optional(tree, "max_tokens", int)
    if not counting:
        if limit is None:
            raise BadRequestError("max_tokens: Field required", "max_tokens")
        if limit < 1:
            raise BadRequestError("max_tokens: must be greater than or equal to 1", "max_tokens")
    given = rows(present(tree, "messages", list), "messages")
    if not given:
        raise BadRequestError("messages: at least one message is required", "messages")
    messages = _system(tree.get("system"))
    open_ids: set[str] = set()
    for index, one in enumerate(given):
        messages += _message(one, index, open_ids)
    if open_ids and given[-1].get("role") != "assistant":
        raise _unanswered(len(given) - 1, open_ids)
    choice = optional(tree, "tool_choice", dict) or {}
    return Request(
        model=name,
        messages=messages,
        tools=[_tool(one, f"tools.{i}") for i, one in enumerate(rows(tree.get("tools"), "tools"))],
        tool_choice=_choice(choice),
        parallel_tool_calls=False if choice.get("disable_parallel_tool_use") is True else None,
        max_tokens=limit,
        stop=[one for one in tree.get("stop_sequences") or [] if isinstance(one, str)],
        output_format=_output(tree),
        stream=optional(tree, "stream", bool) or False,
    )


def _system(value: object) -> list[Message]:
    if value is None:
        return []
    if isinstance(value, str):
        return [Message(role="system", parts=[Text(text=value)])]
    texts: list[Part] = [
        Text(text=present(one, "text", str, f"system.{i}."))
        for i, one in enumerate(rows(value, "system"))
    ]
    return [Message(role="system", parts=texts)]


def _message(tree: dict[str, Any], index: int, open_ids: set[str]) -> list[Message]:
    """The message, its tool results split off as a message of role tool."""
    where = f"messages.{index}"
    role = tree.get("role")
    # Coding programs add what became known later as system messages behind the first one.
    if role not in {"user", "assistant"} and (role != "system" or index == 0):
        raise BadRequestError(
            f'{where}.role: Input should be "user" or "assistant"', f"{where}.role"
        )
    content = tree.get("content")
    if isinstance(content, str):
        if role == "user" and open_ids:
            raise _unanswered(index - 1, open_ids)
        return [Message(role=role, parts=[Text(text=content)])]
    if content is None:
        raise BadRequestError(f"{where}.content: Field required", f"{where}.content")
    parts = [_block(one, f"{where}.content.{i}") for i, one in enumerate(rows(content, where))]
    results = [part for part in parts if isinstance(part, ToolResult)]
    for result in results:
        if role != "user" or result.call_id not in open_ids:
            raise BadRequestError(
                f"{where}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{result.call_id}. Each `tool_result` block must have a corresponding "
                "`tool_use` block in the previous message.",
                where,
            )
        open_ids.discard(result.call_id)
    if role == "user" and open_ids:
        raise _unanswered(index - 1, open_ids)
    open_ids |= {part.id for part in parts if isinstance(part, ToolCall)}
    rest: list[Part] = [part for part in parts if not isinstance(part, ToolResult)]
    messages = [Message(role="tool", parts=list(results))] if results else []
    return [*messages, Message(role=role, parts=rest)] if rest or not results else messages


def _unanswered(index: int, ids: set[str]) -> BadRequestError:
    return BadRequestError(
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately "
        f"after: {', '.join(sorted(ids))}. Each `tool_use` block must have a corresponding "
        "`tool_result` block in the next message.",
        f"messages.{index}",
    )


def _block(tree: dict[str, Any], where: str) -> Part:
    kind = tree.get("type")
    path = f"{where}."
    if kind == "text":
        return Text(text=present(tree, "text", str, path))
    if kind == "tool_use":
        return ToolCall(
            id=present(tree, "id", str, path),
            name=present(tree, "name", str, path),
            arguments=msgspec.json.encode(present(tree, "input", dict, path)).decode(),
        )
    if kind == "tool_result":
        return ToolResult(
            call_id=present(tree, "tool_use_id", str, path),
            content=_result(tree.get("content"), where),
            is_error=tree.get("is_error") is True,
        )
    if kind == "thinking":
        if "text" in tree:
            raise BadRequestError(
                f"{where}.thinking.text: Extra inputs are not permitted", f"{path}thinking.text"
            )
        return Thinking(
            text=present(tree, "thinking", str, path),
            signature=present(tree, "signature", str, path),
        )
    if kind == "redacted_thinking":
        return Thinking(encrypted=present(tree, "data", str, path))
    if kind in {"image", "document"}:
        return _media(tree, where)
    if isinstance(kind, str):
        # Server tools, search results and what else providers invent: seen, not understood.
        return Document(name=kind)
    raise BadRequestError(f"{where}.type: Field required", f"{path}type")


def _media(tree: dict[str, Any], where: str) -> Image | Document:
    source = present(tree, "source", dict, f"{where}.")
    if tree["type"] == "image":
        return Image(url=source.get("url"), data=source.get("data"))
    inline = source.get("data")
    text = inline if source.get("type") == "text" and isinstance(inline, str) else None
    return Document(text=text, data=None if text else inline, url=source.get("url"))


def _result(content: object, where: str) -> list[Text | Image | Document]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(text=content)]
    blocks = [_block(one, f"{where}.content.{i}") for i, one in enumerate(rows(content, where))]
    return [block for block in blocks if isinstance(block, (Text, Image, Document))]


def _tool(tree: dict[str, Any], where: str) -> ToolDef:
    kind = tree.get("type")
    if kind not in {None, "custom"}:
        return ToolDef(name=str(tree.get("name") or kind), description="of a type of the provider")
    return ToolDef(
        name=present(tree, "name", str, f"{where}."),
        description=optional(tree, "description", str, f"{where}."),
        schema=present(tree, "input_schema", dict, f"{where}."),
    )


def _choice(tree: dict[str, Any]) -> ToolChoice | None:
    kind = tree.get("type")
    if kind == "tool":
        return ToolChoice(mode="tool", name=optional(tree, "name", str))
    if kind == "any":
        return ToolChoice(mode="required")
    return ToolChoice(mode="none") if kind == "none" else None


def _output(tree: dict[str, Any]) -> OutputFormat | None:
    config = optional(tree, "output_config", dict) or {}
    wanted = config.get("format", tree.get("output_format"))
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    return OutputFormat(kind="json_schema", schema=optional(wanted, "schema", dict))


def _usage(script: Script, output: int) -> dict[str, Any]:
    return {
        "input_tokens": script.usage.input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def _envelope(request: Request, new_id: NewId) -> dict[str, Any]:
    return {
        "model": request.model,
        "id": new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def whole(request: Request, script: Script, new_id: NewId, created: int) -> bytes:
    """The `message` object."""
    del created
    content: list[dict[str, Any]] = []
    if script.pieces or not script.calls:
        content.append({"type": "text", "text": script.text})
    for call in script.calls:
        tool_input = msgspec.json.decode(call.arguments)
        content.append(
            {"type": "tool_use", "id": new_id("toolu_"), "name": call.name, "input": tool_input}
        )
    return msgspec.json.encode(
        {
            **_envelope(request, new_id),
            "content": content,
            "stop_reason": _STOP[script.stop],
            "stop_sequence": script.stop_sequence,
            "usage": _usage(script, script.usage.output),
        }
    )


def _event(tree: dict[str, Any]) -> bytes:
    return f"event: {tree['type']}\ndata: ".encode() + msgspec.json.encode(tree) + b"\n\n"


def stream(request: Request, script: Script, new_id: NewId, created: int) -> Iterator[bytes]:
    """The events, a ping behind the first block's start as the provider sends it."""
    del created
    message = {**_envelope(request, new_id), "usage": _usage(script, 1)}
    yield _event({"type": "message_start", "message": message})
    ping = _event({"type": "ping"})
    first = 0
    if script.pieces or not script.calls:
        block: dict[str, Any] = {"type": "text", "text": ""}
        yield _event({"type": "content_block_start", "index": 0, "content_block": block}) + ping
        ping = b""
        for piece in script.pieces:
            delta = {"type": "text_delta", "text": piece}
            yield _event({"type": "content_block_delta", "index": 0, "delta": delta})
        yield _event({"type": "content_block_stop", "index": 0})
        first = 1
    for index, call in enumerate(script.calls, first):
        block = {"type": "tool_use", "id": new_id("toolu_"), "name": call.name, "input": {}}
        yield _event({"type": "content_block_start", "index": index, "content_block": block}) + ping
        ping = b""
        for fragment in ("", *_fragments(call.arguments)):
            delta = {"type": "input_json_delta", "partial_json": fragment}
            yield _event({"type": "content_block_delta", "index": index, "delta": delta})
        yield _event({"type": "content_block_stop", "index": index})
    yield _event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": _STOP[script.stop], "stop_sequence": script.stop_sequence},
            "usage": {
                "input_tokens": script.usage.input,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": script.usage.output,
            },
        }
    )
    yield _event({"type": "message_stop"})


def _fragments(arguments: str) -> list[str]:
    return [arguments[at : at + _FRAGMENT] for at in range(0, len(arguments), _FRAGMENT)]
