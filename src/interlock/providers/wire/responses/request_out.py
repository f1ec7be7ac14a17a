"""A neutral request as a Responses one.

The conversation is always sent whole, so nothing has to be stored upstream unless
the caller asks for it, and reasoning comes back encrypted instead.
"""

from collections.abc import Mapping, Sequence

from interlock.providers.wire.codec import Encoded
from interlock.providers.wire.model import (
    Message,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolDef,
    ToolResult,
)
from interlock.providers.wire.reading import Losses, Tree, untranslatable
from interlock.providers.wire.responses.content import (
    encode_content,
    encode_output_part,
    encode_reasoning,
    encode_result,
)
from interlock.providers.wire.thinking import effort_of

__all__ = ["continued", "encode_request"]

_PLAIN = (
    "parallel_tool_calls",
    "temperature",
    "top_p",
    "user",
    "metadata",
    "service_tier",
)
_UNSAID = (
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
)
"""Fields Responses has no member for, or whose outcome the client could not be told."""

_MIN_TOKENS = 16


def encode_request(request: Request) -> Encoded:
    """Raises `UntranslatableError` for several choices and tools of other providers."""
    if request.n is not None and request.n > 1:
        raise untranslatable("n", "a request for several choices")
    losses = Losses(request.dropped)
    body: Tree = {"model": request.model}
    messages = request.messages
    if messages and (instructions := _instructions(messages[0])) is not None:
        body["instructions"] = instructions
        messages = messages[1:]
    body["input"] = [item for message in messages for item in _items(message, losses)]
    _put_tools(request, body, losses)
    for name in _PLAIN:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    _put_limits(request, body, losses)
    body["store"] = request.store or False
    if request.reasoning is not None:
        _put_reasoning(request.reasoning, body, losses)
    text: Tree = {}
    if request.output_format is not None:
        text["format"] = _format(request.output_format)
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    if text:
        body["text"] = text
    body.update(request.openai)
    if request.stream:
        body["stream"] = True
    return Encoded(body=body, dropped=losses.list())


def _put_limits(request: Request, body: Tree, losses: Losses) -> None:
    if request.max_tokens is not None:
        body["max_output_tokens"] = max(request.max_tokens, _MIN_TOKENS)
        if request.max_tokens < _MIN_TOKENS:
            losses.add("max_tokens")
    if request.stop:
        losses.add("stop")
    for name in _UNSAID:
        if getattr(request, name) is not None:
            losses.add(name)


def _instructions(message: Message) -> str | None:
    if message.role != "system" or len(message.parts) != 1:
        return None
    part = message.parts[0]
    return part.text if isinstance(part, Text) and part.cache is None else None


def _put_reasoning(reasoning: Reasoning, body: Tree, losses: Losses) -> None:
    tree: Tree = {}
    effort = effort_of(reasoning)
    if effort is not None:
        tree["effort"] = effort
    if reasoning.summary is not None:
        tree["summary"] = reasoning.summary
    elif reasoning.enabled:
        tree["summary"] = "auto"  # else a client that asked for thoughts would see none
    if effort is None and reasoning.summary is None:
        losses.add("reasoning")
        return
    body["reasoning"] = tree
    if reasoning.enabled and not body["store"]:
        body["include"] = ["reasoning.encrypted_content"]


def _format(wanted: OutputFormat) -> Tree:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    tree: Tree = {
        "type": "json_schema",
        "name": wanted.name or "answer",
        "schema": wanted.schema or {},
    }
    if wanted.strict is not None:
        tree["strict"] = wanted.strict
    if wanted.description is not None:
        tree["description"] = wanted.description
    return tree


def _put_tools(request: Request, body: Tree, losses: Losses) -> None:
    tools: list[Tree] = []
    groups: dict[str, Tree] = {}
    for tool in request.tools:
        if tool.cache is not None:
            losses.add("cache_control")
        if tool.namespace is None:
            tools.append(_tool(tool))
            continue
        group = groups.get(tool.namespace)
        if group is None:
            group = {
                "type": "namespace",
                "name": tool.namespace,
                "description": tool.namespace_description or "",
                "tools": [],
            }
            groups[tool.namespace] = group
            tools.append(group)
        group["tools"].append(_tool(tool))
    for foreign in request.provider_tools:
        if foreign.format != "responses":
            raise untranslatable("tools", f"a tool of type `{foreign.type}`")
        tools.append(foreign.raw)
    if tools:
        body["tools"] = tools
    if request.tool_choice is not None:
        body["tool_choice"] = _tool_choice(request.tool_choice)


def _tool(tool: ToolDef) -> Tree:
    tree: Tree = {"type": "function", "name": tool.name}
    if tool.description is not None:
        tree["description"] = tool.description
    tree["parameters"] = tool.schema or {"type": "object", "properties": {}}
    if tool.output_schema is not None:
        tree["output_schema"] = tool.output_schema
    # absent means strict here and means the opposite in the other formats
    tree["strict"] = tool.strict or False
    return tree


def _tool_choice(choice: ToolChoice) -> str | Tree:
    if choice.mode == "tool":
        return {"type": "function", "name": (choice.name or "").rpartition(".")[2]}
    return choice.mode


def _items(message: Message, losses: Losses) -> list[Tree]:
    if message.name is not None:
        losses.add("messages[].name")
    if message.role == "tool":
        out: list[Tree] = []
        for part in message.parts:
            if not isinstance(part, ToolResult):
                raise untranslatable("messages", f"`{type(part).__name__}` among tool results")
            out.append(encode_result(part, losses))
        return out
    if message.role == "assistant":
        return _assistant(message.parts, losses)
    parts = message.parts
    content: str | list[Tree]
    if len(parts) == 1 and isinstance(parts[0], Text) and parts[0].cache is None:
        content = parts[0].text
    else:
        content = [encode_content(part, losses) for part in parts] or ""
    return [{"type": "message", "role": message.role, "content": content}]


def _assistant(parts: Sequence[Part], losses: Losses) -> list[Tree]:
    out: list[Tree] = []
    for part in parts:
        if isinstance(part, Text | Refusal):
            if isinstance(part, Text) and part.cache is not None:
                losses.add("cache_control")
            if not out or out[-1]["type"] != "message":
                out.append({"type": "message", "role": "assistant", "content": []})
            out[-1]["content"].append(encode_output_part(part))
        elif isinstance(part, ToolCall):
            out.append(_call(part, losses))
        elif isinstance(part, Thinking):
            if part.origin in {None, "responses"} and part.encrypted is not None:
                out.append(encode_reasoning(part, part.id or f"rs_{len(out)}"))
            else:
                losses.add("messages[].reasoning")
        else:
            raise untranslatable("messages", f"`{type(part).__name__}` in an assistant message")
    return out


def _call(part: ToolCall, losses: Losses) -> Tree:
    if part.cache is not None:
        losses.add("cache_control")
    tree: Tree = {
        "type": "function_call",
        "call_id": part.id,
        "name": part.name,
        "arguments": part.arguments,
    }
    if part.namespace is not None:
        tree["namespace"] = part.namespace
    if part.item_id is not None:
        tree["id"] = part.item_id
    return tree


def continued(body: Tree, parts: Sequence[Part], results: Mapping[str, str]) -> Tree:
    """See `Codec.continued`."""
    given = body.get("input")
    items: list[Tree] = (
        [{"type": "message", "role": "user", "content": given}]
        if isinstance(given, str)
        else list(given or ())
    )
    items += _assistant(parts, Losses())
    items += [
        {"type": "function_call_output", "call_id": part.id, "output": results.get(part.id, "")}
        for part in parts
        if isinstance(part, ToolCall)
    ]
    return {**body, "input": items}
