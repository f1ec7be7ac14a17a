"""OpenAI Responses, from the provider's side."""

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
    Refusal,
    Request,
    Role,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolDef,
    ToolResult,
)

__all__ = ["input_items", "read", "stream", "whole"]

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
}
_FRAGMENT = 16


def input_items(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """The `input` of a body as a list of items."""
    given = tree.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return rows(given, "input")


def read(tree: dict[str, Any], items: list[dict[str, Any]]) -> Request:
    """The request over all its items (those of earlier responses first), or BadRequestError."""
    messages: list[Message] = []
    instructions = optional(tree, "instructions", str)
    if instructions:
        messages.append(Message(role="system", parts=[Text(text=instructions)]))
    open_ids: set[str] = set()
    for index, item in enumerate(items):
        message = _item(item, f"input[{index}]", open_ids)
        if message is not None:
            messages.append(message)
    if open_ids:
        raise BadRequestError(f"No tool output found for function call {min(open_ids)}.", "input")
    if not items:
        raise BadRequestError("Missing required parameter: 'input'.", "input")
    return Request(
        model=model(tree),
        messages=messages,
        tools=_tools(rows(tree.get("tools"), "tools")),
        tool_choice=_choice(tree.get("tool_choice")),
        parallel_tool_calls=optional(tree, "parallel_tool_calls", bool),
        max_tokens=optional(tree, "max_output_tokens", int),
        output_format=_output(optional(tree, "text", dict) or {}),
        stream=optional(tree, "stream", bool) or False,
    )


def _item(item: dict[str, Any], where: str, open_ids: set[str]) -> Message | None:
    kind = item.get("type", "message")
    path = f"{where}."
    if kind == "message":
        role = _ROLES.get(str(item.get("role")))
        if role is None:
            raise BadRequestError(
                f"Invalid value: '{item.get('role')}'.", f"{path}role", "invalid_value"
            )
        return Message(role=role, parts=_content(item.get("content"), where))
    if kind == "function_call":
        call = ToolCall(
            id=present(item, "call_id", str, path),
            name=present(item, "name", str, path),
            arguments=present(item, "arguments", str, path),
            namespace=optional(item, "namespace", str, path),
        )
        open_ids.add(call.id)
        return Message(role="assistant", parts=[call])
    if kind == "function_call_output":
        call_id = present(item, "call_id", str, path)
        if call_id not in open_ids:
            raise BadRequestError(
                f"No tool call found for function call output with call_id {call_id}.", "input"
            )
        open_ids.discard(call_id)
        content = [
            part
            for part in _content(item.get("output"), where)
            if isinstance(part, (Text, Image, Document))
        ]
        return Message(role="tool", parts=[ToolResult(call_id=call_id, content=content)])
    # Reasoning, searches and what else is in a history: seen, not understood.
    return None


def _content(content: object, where: str) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(text=content)]
    parts: list[Part] = []
    for index, part in enumerate(rows(content, f"{where}.content")):
        path = f"{where}.content[{index}]."
        kind = part.get("type")
        if kind in {"input_text", "output_text", "text"}:
            parts.append(Text(text=present(part, "text", str, path)))
        elif kind == "refusal":
            parts.append(Refusal(text=present(part, "refusal", str, path)))
        elif kind == "input_image":
            parts.append(Image(url=part.get("image_url")))
        elif kind == "input_file":
            parts.append(Document(data=part.get("file_data"), file_id=part.get("file_id")))
        elif kind in {"reasoning_text", "summary_text"}:
            parts.append(Thinking(text=str(part.get("text"))))
        else:
            raise BadRequestError(f"Invalid value: '{kind}'.", f"{path}type", "invalid_value")
    return parts


def _tools(trees: list[dict[str, Any]], namespace: str | None = None) -> list[ToolDef]:
    tools: list[ToolDef] = []
    for index, tree in enumerate(trees):
        where = f"tools[{index}]."
        if tree.get("type") == "namespace":
            inner = rows(tree.get("tools"), f"{where}tools")
            tools += _tools(inner, present(tree, "name", str, where))
        elif tree.get("type") == "function":
            tools.append(
                ToolDef(
                    name=present(tree, "name", str, where),
                    namespace=namespace,
                    description=optional(tree, "description", str, where),
                    schema=optional(tree, "parameters", dict, where) or {},
                )
            )
    return tools


def _choice(value: object) -> ToolChoice | None:
    if value in {"none", "required"} if isinstance(value, str) else False:
        return ToolChoice(mode="none" if value == "none" else "required")
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return ToolChoice(mode="tool", name=value["name"])
    return None


def _output(tree: dict[str, Any]) -> OutputFormat | None:
    wanted = optional(tree, "format", dict, "text.") or {}
    if wanted.get("type") == "json_object":
        return OutputFormat(kind="json_object")
    if wanted.get("type") != "json_schema":
        return None
    return OutputFormat(
        kind="json_schema",
        name=optional(wanted, "name", str),
        schema=optional(wanted, "schema", dict),
    )


def _response(tree: dict[str, Any], response_id: str, created: int) -> dict[str, Any]:
    """The response object before anything has been said, request members echoed."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": tree.get("instructions"),
        "max_output_tokens": tree.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": tree["model"],
        "output": [],
        "parallel_tool_calls": tree.get("parallel_tool_calls") is not False,
        "previous_response_id": tree.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": tree.get("store") is not False,
        "temperature": tree.get("temperature", 1.0),
        "text": tree.get("text") or {"format": {"type": "text"}},
        "tool_choice": tree.get("tool_choice") or "auto",
        "tools": tree.get("tools") or [],
        "top_logprobs": 0,
        "top_p": tree.get("top_p", 1.0),
        "truncation": tree.get("truncation") or "disabled",
        "usage": None,
        "user": None,
        "metadata": tree.get("metadata") or {},
    }


def _items(script: Script, new_id: NewId) -> list[dict[str, Any]]:
    status = "incomplete" if script.stop is StopReason.LENGTH else "completed"
    items: list[dict[str, Any]] = []
    if script.pieces or not script.calls:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": script.text}
        items.append(
            {
                "id": new_id("msg_"),
                "type": "message",
                "status": status,
                "content": [part],
                "role": "assistant",
            }
        )
    for call in script.calls:
        item = {
            "id": new_id("fc_"),
            "type": "function_call",
            "status": "completed",
            "arguments": call.arguments,
            "call_id": new_id("call_"),
            "name": call.name,
        }
        if call.namespace is not None:
            item["namespace"] = call.namespace
        items.append(item)
    return items


def _finished(
    response: dict[str, Any], script: Script, items: list[dict[str, Any]]
) -> dict[str, Any]:
    cut = script.stop is StopReason.LENGTH
    usage = script.usage
    return {
        **response,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": items,
        "usage": {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.input + usage.output,
        },
    }


def whole(
    tree: dict[str, Any], script: Script, new_id: NewId, created: int, response_id: str
) -> tuple[bytes, list[dict[str, Any]]]:
    """The `response` object, and its output items to be remembered."""
    items = _items(script, new_id)
    done = _finished(_response(tree, response_id, created), script, items)
    return msgspec.json.encode(done), items


def stream(
    tree: dict[str, Any], script: Script, new_id: NewId, created: int, response_id: str
) -> tuple[Iterator[bytes], list[dict[str, Any]]]:
    """The events, numbered from 0, and the output items to be remembered."""
    items = _items(script, new_id)
    response = _response(tree, response_id, created)
    return _numbered(_events(response, script, items)), items


def _numbered(events: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    for number, event in enumerate(events):
        tree = {"type": event["type"], "sequence_number": number, **event}
        yield f"event: {event['type']}\ndata: ".encode() + msgspec.json.encode(tree) + b"\n\n"


def _events(
    response: dict[str, Any], script: Script, items: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": response}
    yield {"type": "response.in_progress", "response": response}
    for index, item in enumerate(items):
        speak = _spoken if item["type"] == "message" else _called
        yield from speak(index, item, script)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    done = _finished(response, script, items)
    yield {"type": f"response.{done['status']}", "response": done}


def _spoken(index: int, item: dict[str, Any], script: Script) -> Iterator[dict[str, Any]]:
    opened = {**item, "status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
    for piece in script.pieces:
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": script.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}


def _called(index: int, item: dict[str, Any], script: Script) -> Iterator[dict[str, Any]]:
    del script
    opened = {**item, "status": "in_progress", "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    place = {"item_id": item["id"], "output_index": index}
    text = item["arguments"]
    for at in range(0, len(text), _FRAGMENT):
        delta = text[at : at + _FRAGMENT]
        yield {"type": "response.function_call_arguments.delta", **place, "delta": delta}
    yield {
        "type": "response.function_call_arguments.done",
        **place,
        "arguments": text,
        "name": item["name"],
    }
