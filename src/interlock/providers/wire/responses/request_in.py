"""A Responses request as a neutral one."""

from typing import Literal

from interlock.providers.wire.model import (
    Document,
    Image,
    Message,
    OutputFormat,
    Part,
    ProviderTool,
    Reasoning,
    Request,
    Text,
    ToolCall,
    ToolChoice,
    ToolDef,
    ToolResult,
)
from interlock.providers.wire.reading import (
    Losses,
    Tree,
    boolean,
    integer,
    invalid,
    items,
    mapping,
    need_text,
    number,
    text,
    untranslatable,
)
from interlock.providers.wire.responses.content import content_parts, decode_reasoning

__all__ = ["decode_request"]

_SHARED = ("prompt_cache_key", "prompt_cache_retention", "safety_identifier")
_KNOWN = frozenset(
    {
        *_SHARED,
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_output_tokens",
        "temperature",
        "top_p",
        "reasoning",
        "text",
        "stream",
        "metadata",
        "user",
        "service_tier",
        "store",
        "include",
        "top_logprobs",
        "truncation",
        "background",
        "prompt",
    }
)


def decode_request(tree: object) -> Request:
    """Raises `InvalidRequestError`, or `UntranslatableError` naming an unknown type."""
    body = mapping(tree, "")
    losses = Losses([key for key in body if key not in _KNOWN and body[key] is not None])
    if boolean(body, "background"):
        raise invalid("background", "false: answers in the background are not offered")
    if body.get("prompt") is not None:
        raise untranslatable("prompt", "a stored prompt template")
    if body.get("truncation") not in (None, "disabled"):
        losses.add("truncation")
    for word in items(body, "include"):
        if word != "reasoning.encrypted_content":
            losses.add("include")
    tools, provider_tools = _tools(body, losses)
    choice, allowed = _tool_choice(body, tools)
    if allowed is not None:
        tools = [tool for tool in tools if tool.name in allowed]
    stream = boolean(body, "stream") or False
    config = mapping(body.get("text") or {}, "text")
    return Request(
        model=need_text(body, "model", ""),
        messages=_messages(body, losses),
        tools=tools,
        provider_tools=provider_tools,
        tool_choice=choice,
        parallel_tool_calls=boolean(body, "parallel_tool_calls"),
        max_tokens=integer(body, "max_output_tokens", least=1),
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_logprobs=integer(body, "top_logprobs"),
        reasoning=_reasoning(body, losses),
        output_format=_output_format(config),
        stream=stream,
        include_usage=stream,
        user=text(body, "user", ""),
        metadata=mapping(body["metadata"], "metadata") if body.get("metadata") else None,
        service_tier=text(body, "service_tier", ""),
        verbosity=text(config, "verbosity", "text."),
        store=boolean(body, "store"),
        openai={key: body[key] for key in _SHARED if body.get(key) is not None},
        dropped=losses.list(),
    )


def _reasoning(body: Tree, losses: Losses) -> Reasoning | None:
    if body.get("reasoning") is None:
        return None
    tree = mapping(body["reasoning"], "reasoning")
    effort = text(tree, "effort", "reasoning.")
    summary = text(tree, "summary", "reasoning.") or text(tree, "generate_summary", "reasoning.")
    for key in tree:
        if key not in {"effort", "summary", "generate_summary"} and tree[key] is not None:
            losses.add(f"reasoning.{key}")
    if effort is None and summary is None:
        return None
    return Reasoning(enabled=effort != "none", effort=effort, summary=summary)


def _output_format(config: Tree) -> OutputFormat | None:
    if config.get("format") is None:
        return None
    at = "text.format"
    tree = mapping(config["format"], at)
    kind = tree.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return OutputFormat(kind="json_object")
    if kind != "json_schema":
        raise invalid(f"{at}.type", "`text`, `json_object` or `json_schema`")
    return OutputFormat(
        kind="json_schema",
        name=text(tree, "name", f"{at}."),
        schema=mapping(tree.get("schema") or {}, f"{at}.schema"),
        strict=boolean(tree, "strict", f"{at}."),
        description=text(tree, "description", f"{at}."),
    )


_TOOL = frozenset({"type", "name", "description", "parameters", "output_schema", "strict"})


def _tools(body: Tree, losses: Losses) -> tuple[list[ToolDef], list[ProviderTool]]:
    tools: list[ToolDef] = []
    foreign: list[ProviderTool] = []
    for i, item in enumerate(items(body, "tools")):
        at = f"tools[{i}]"
        tool = mapping(item, at)
        kind = need_text(tool, "type", f"{at}.")
        if kind == "function":
            tools.append(_function(tool, at, losses))
        elif kind == "namespace":
            _namespace(tool, at, tools, foreign, losses)
        else:
            name = text(tool, "name", f"{at}.") or kind
            foreign.append(ProviderTool(format="responses", type=kind, name=name, raw=tool))
    return tools, foreign


def _namespace(
    group: Tree, at: str, tools: list[ToolDef], foreign: list[ProviderTool], losses: Losses
) -> None:
    namespace = need_text(group, "name", f"{at}.")
    about = text(group, "description", f"{at}.")
    for i, item in enumerate(items(group, "tools", f"{at}.")):
        where = f"{at}.tools[{i}]"
        tool = mapping(item, where)
        kind = need_text(tool, "type", f"{where}.")
        if kind == "function":
            tools.append(_function(tool, where, losses, namespace=namespace, about=about))
            continue
        name = f"{namespace}.{text(tool, 'name', f'{where}.') or kind}"
        raw = {**group, "tools": [tool]}
        foreign.append(ProviderTool(format="responses", type=kind, name=name, raw=raw))


def _function(
    tool: Tree,
    at: str,
    losses: Losses,
    *,
    namespace: str | None = None,
    about: str | None = None,
) -> ToolDef:
    for key in tool:
        if key not in _TOOL and tool[key] is not None:
            losses.add(f"tools[].{key}")
    output = tool.get("output_schema")
    return ToolDef(
        name=need_text(tool, "name", f"{at}."),
        description=text(tool, "description", f"{at}."),
        schema=mapping(tool.get("parameters") or {}, f"{at}.parameters"),
        output_schema=mapping(output, f"{at}.output_schema") if output is not None else None,
        strict=boolean(tool, "strict", f"{at}."),
        namespace=namespace,
        namespace_description=about,
    )


def _tool_choice(body: Tree, tools: list[ToolDef]) -> tuple[ToolChoice | None, set[str] | None]:
    """The choice, and the names it narrows the tools to, if it does."""
    value = body.get("tool_choice")
    if value is None:
        return None, None
    if isinstance(value, str):
        return ToolChoice(mode=_mode(value, "tool_choice")), None
    tree = mapping(value, "tool_choice")
    kind = tree.get("type")
    if kind == "function":
        name = need_text(tree, "name", "tool_choice.")
        qualified = next((tool.qualified for tool in tools if tool.name == name), name)
        return ToolChoice(mode="tool", name=qualified), None
    if kind != "allowed_tools":
        raise untranslatable("tool_choice.type", f"a tool choice of type `{kind}`")
    names: set[str] = set()
    for i, item in enumerate(items(tree, "tools", "tool_choice.")):
        at = f"tool_choice.tools[{i}]"
        tool = mapping(item, at)
        if tool.get("type") != "function":
            raise untranslatable(f"{at}.type", f"an allowed tool of type `{tool.get('type')}`")
        names.add(need_text(tool, "name", f"{at}."))
    return ToolChoice(mode=_mode(tree.get("mode", "auto"), "tool_choice.mode")), names


def _mode(value: object, at: str) -> Literal["auto", "none", "required"]:
    if value == "auto":
        return "auto"
    if value == "none":
        return "none"
    if value == "required":
        return "required"
    raise invalid(at, "`auto`, `none` or `required`")


def _messages(body: Tree, losses: Losses) -> list[Message]:
    out: list[Message] = []
    instructions = body.get("instructions")
    if isinstance(instructions, str):
        if instructions:
            out.append(Message(role="system", parts=[Text(text=instructions)]))
    elif instructions is not None:
        raise invalid("instructions", "a string")
    value = body.get("input")
    if isinstance(value, str):
        out.append(Message(role="user", parts=[Text(text=value)] if value else []))
        return out
    for i, item in enumerate(items(body, "input")):
        at = f"input[{i}]"
        _item(mapping(item, at), at, out, losses)
    return out


def _item(tree: Tree, at: str, out: list[Message], losses: Losses) -> None:
    kind = tree.get("type", "message" if "role" in tree else None)
    if kind == "message":
        role = tree.get("role")
        parts = content_parts(tree.get("content"), f"{at}.content", losses)
        if role == "assistant":
            _said(parts, out)
        elif role in ("user", "system", "developer"):
            out.append(Message(role=role, parts=parts))
        else:
            raise invalid(f"{at}.role", "`user`, `assistant`, `system` or `developer`")
    elif kind == "function_call":
        call = ToolCall(
            id=need_text(tree, "call_id", f"{at}."),
            name=need_text(tree, "name", f"{at}."),
            arguments=need_text(tree, "arguments", f"{at}.") or "{}",
            namespace=text(tree, "namespace", f"{at}."),
            item_id=text(tree, "id", f"{at}."),
        )
        _said([call], out)
    elif kind == "function_call_output":
        result = _result(tree, at, losses)
        if out and out[-1].role == "tool":
            out[-1].parts.append(result)
        else:
            out.append(Message(role="tool", parts=[result]))
    elif kind == "reasoning":
        _said([decode_reasoning(tree, at)], out)
    elif isinstance(kind, str):
        raise untranslatable(f"{at}.type", f"an item of type `{kind}`")
    else:
        raise invalid(f"{at}.type", "a string")


def _said(parts: list[Part], out: list[Message]) -> None:
    """Adds to the assistant's message; its items stand side by side in the input."""
    if out and out[-1].role == "assistant":
        out[-1].parts.extend(parts)
    else:
        out.append(Message(role="assistant", parts=list(parts)))


def _result(tree: Tree, at: str, losses: Losses) -> ToolResult:
    content: list[Text | Image | Document] = []
    for part in content_parts(tree.get("output"), f"{at}.output", losses):
        if not isinstance(part, Text | Image | Document):
            raise invalid(f"{at}.output", "text, images or files")
        content.append(part)
    return ToolResult(call_id=need_text(tree, "call_id", f"{at}."), content=content)
