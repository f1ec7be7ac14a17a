"""A Chat Completions request as a neutral one."""

from typing import Any, Literal

from interlock.providers.wire.chat.content import cache_mark, content_parts, reasoning_parts
from interlock.providers.wire.model import (
    Document,
    Image,
    Message,
    OutputFormat,
    Part,
    ProviderTool,
    Reasoning,
    Refusal,
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
    need_items,
    need_text,
    number,
    text,
    untranslatable,
)

__all__ = ["decode_request"]

_SHARED = ("prompt_cache_key", "prompt_cache_retention", "safety_identifier")
_KNOWN = frozenset(
    [
        "model",
        "messages",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "n",
        "reasoning_effort",
        "reasoning",
        "response_format",
        "stream",
        "stream_options",
        "user",
        "metadata",
        "service_tier",
        "verbosity",
        "store",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
    ]
)


def decode_request(tree: object) -> Request:
    """Raises `InvalidRequestError`, or `UntranslatableError` naming an unknown type."""
    body = mapping(tree, "")
    losses = Losses([key for key in body if key not in _KNOWN and body[key] is not None])
    tools, provider_tools = _tools(body, losses)
    choice, allowed = _tool_choice(body)
    if allowed is not None:
        tools = [tool for tool in tools if tool.name in allowed]
    options = mapping(body.get("stream_options") or {}, "stream_options")
    return Request(
        model=need_text(body, "model", ""),
        messages=_messages(need_items(body, "messages"), losses),
        tools=tools,
        provider_tools=provider_tools,
        tool_choice=choice,
        parallel_tool_calls=boolean(body, "parallel_tool_calls"),
        max_tokens=_max_tokens(body),
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=integer(body, "top_k"),
        stop=_stop(body),
        seed=integer(body, "seed"),
        frequency_penalty=number(body, "frequency_penalty"),
        presence_penalty=number(body, "presence_penalty"),
        logit_bias=_logit_bias(body),
        logprobs=boolean(body, "logprobs"),
        top_logprobs=integer(body, "top_logprobs"),
        n=integer(body, "n", least=1),
        reasoning=_reasoning(body, losses),
        output_format=_output_format(body),
        stream=boolean(body, "stream") or False,
        include_usage=boolean(options, "include_usage", "stream_options.") or False,
        user=text(body, "user", ""),
        metadata=mapping(body["metadata"], "metadata") if body.get("metadata") else None,
        service_tier=text(body, "service_tier", ""),
        verbosity=text(body, "verbosity", ""),
        store=boolean(body, "store"),
        openai={key: body[key] for key in _SHARED if body.get(key) is not None},
        dropped=losses.list(),
    )


def _max_tokens(body: Tree) -> int | None:
    newer = integer(body, "max_completion_tokens", least=1)
    return newer if newer is not None else integer(body, "max_tokens", least=1)


def _stop(body: Tree) -> list[str]:
    value = body.get("stop")
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return list(value)
    raise invalid("stop", "a string or an array of strings")


def _logit_bias(body: Tree) -> dict[str, float] | None:
    value = body.get("logit_bias")
    if value is None:
        return None
    bias = mapping(value, "logit_bias")
    return {key: number(bias, key, "logit_bias.") or 0 for key in bias}


def _reasoning(body: Tree, losses: Losses) -> Reasoning | None:
    effort = text(body, "reasoning_effort", "")
    if body.get("reasoning") is None:
        return Reasoning(enabled=effort != "none", effort=effort) if effort else None
    nested = mapping(body["reasoning"], "reasoning")
    effort = text(nested, "effort", "reasoning.") or effort
    enabled = boolean(nested, "enabled", "reasoning.")
    for key in nested:
        if key not in {"effort", "enabled", "max_tokens", "summary"}:
            losses.add(f"reasoning.{key}")
    return Reasoning(
        enabled=(enabled is not False) and effort != "none",
        effort=effort,
        budget_tokens=integer(nested, "max_tokens", "reasoning.", least=1),
        summary=text(nested, "summary", "reasoning."),
    )


def _output_format(body: Tree) -> OutputFormat | None:
    if body.get("response_format") is None:
        return None
    tree = mapping(body["response_format"], "response_format")
    kind = tree.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return OutputFormat(kind="json_object")
    if kind != "json_schema":
        raise invalid("response_format.type", "`text`, `json_object` or `json_schema`")
    at = "response_format.json_schema"
    schema = mapping(tree.get("json_schema"), at)
    return OutputFormat(
        kind="json_schema",
        name=text(schema, "name", f"{at}."),
        schema=mapping(schema.get("schema") or {}, f"{at}.schema"),
        strict=boolean(schema, "strict", f"{at}."),
        description=text(schema, "description", f"{at}."),
    )


def _tools(body: Tree, losses: Losses) -> tuple[list[ToolDef], list[ProviderTool]]:
    tools: list[ToolDef] = []
    foreign: list[ProviderTool] = []
    for i, item in enumerate(items(body, "tools")):
        at = f"tools[{i}]"
        tool = mapping(item, at)
        kind = need_text(tool, "type", f"{at}.")
        if kind != "function":
            inner = tool.get(kind)
            name = inner.get("name") if isinstance(inner, dict) else None
            name = name if isinstance(name, str) else kind
            foreign.append(ProviderTool(format="chat", type=kind, name=name, raw=tool))
            continue
        function = mapping(tool.get("function"), f"{at}.function")
        tools.append(_function(function, f"{at}.function.", cache_from=tool, losses=losses))
    for i, item in enumerate(items(body, "functions")):
        function = mapping(item, f"functions[{i}]")
        tools.append(_function(function, f"functions[{i}].", cache_from={}, losses=losses))
    return tools, foreign


_FUNCTION = frozenset({"name", "description", "parameters", "output_schema", "strict"})


def _function(function: Tree, at: str, *, cache_from: Tree, losses: Losses) -> ToolDef:
    for key in function:
        if key not in _FUNCTION and key != "cache_control" and function[key] is not None:
            losses.add(f"tools[].function.{key}")
    mark = cache_mark(cache_from, at) or cache_mark(function, at)
    output = function.get("output_schema")
    return ToolDef(
        name=need_text(function, "name", at),
        description=text(function, "description", at),
        schema=mapping(function.get("parameters") or {}, f"{at}parameters"),
        output_schema=mapping(output, f"{at}output_schema") if output is not None else None,
        strict=boolean(function, "strict", at),
        cache=mark,
    )


def _tool_choice(body: Tree) -> tuple[ToolChoice | None, set[str] | None]:
    """The choice, and the names it narrows the tools to, if it does."""
    value = body.get("tool_choice")
    at = "tool_choice"
    if value is None:
        value = body.get("function_call")
        if isinstance(value, dict):
            name = need_text(value, "name", "function_call.")
            return ToolChoice(mode="tool", name=name), None
        at = "function_call"
    if value is None:
        return None, None
    if isinstance(value, str):
        return ToolChoice(mode=_mode(value, at)), None
    tree = mapping(value, at)
    kind = tree.get("type")
    if kind == "function":
        function = mapping(tree.get("function"), "tool_choice.function")
        name = need_text(function, "name", "tool_choice.function.")
        return ToolChoice(mode="tool", name=name), None
    if kind == "allowed_tools":
        allowed = mapping(tree.get("allowed_tools"), "tool_choice.allowed_tools")
        mode = _mode(allowed.get("mode", "auto"), "tool_choice.allowed_tools.mode")
        return ToolChoice(mode=mode), _allowed(allowed)
    raise untranslatable("tool_choice.type", f"a tool choice of type `{kind}`")


def _mode(value: object, at: str) -> Literal["auto", "none", "required"]:
    if value == "auto":
        return "auto"
    if value == "none":
        return "none"
    if value == "required":
        return "required"
    raise invalid(at, "`auto`, `none` or `required`")


def _allowed(allowed: Tree) -> set[str]:
    names: set[str] = set()
    for i, item in enumerate(items(allowed, "tools", "tool_choice.allowed_tools.")):
        at = f"tool_choice.allowed_tools.tools[{i}]"
        tool = mapping(item, at)
        function = tool.get("function")
        if not isinstance(function, dict):
            raise untranslatable(at, f"an allowed tool of type `{tool.get('type')}`")
        names.add(need_text(function, "name", f"{at}.function."))
    return names


def _messages(values: list[Any], losses: Losses) -> list[Message]:
    out: list[Message] = []
    legacy: dict[str, str] = {}
    """Ids given to calls of the deprecated kind, which has none, by function name."""
    results: list[Part] | None = None
    """Results of the run of tool messages we are in."""
    for i, value in enumerate(values):
        at = f"messages[{i}]"
        tree = mapping(value, at)
        role = tree.get("role")
        if role in ("tool", "function"):
            if results is None:
                results = []
                out.append(Message(role="tool", parts=results))
            results.append(_result(tree, at, legacy if role == "function" else None))
            continue
        results = None
        if role == "assistant":
            parts = _assistant(tree, at, legacy, losses)
        elif role in ("user", "system", "developer"):
            parts = content_parts(tree.get("content"), f"{at}.content")
        else:
            raise invalid(
                f"{at}.role", "`system`, `developer`, `user`, `assistant`, `tool` or `function`"
            )
        out.append(Message(role=role, parts=parts, name=text(tree, "name", f"{at}.")))
    return out


def _result(tree: Tree, at: str, legacy: dict[str, str] | None) -> ToolResult:
    if legacy is None:
        call_id = need_text(tree, "tool_call_id", f"{at}.")
    else:
        name = need_text(tree, "name", f"{at}.")
        call_id = legacy.get(name, f"call_{name}")
    content: list[Text | Image | Document] = []
    for part in content_parts(tree.get("content"), f"{at}.content"):
        if not isinstance(part, Text | Image | Document):
            raise invalid(f"{at}.content", "text, images or files")
        content.append(part)
    return ToolResult(call_id=call_id, content=content)


def _assistant(tree: Tree, at: str, legacy: dict[str, str], losses: Losses) -> list[Part]:
    parts = reasoning_parts(tree, f"{at}.")
    parts += content_parts(tree.get("content"), f"{at}.content")
    refusal = text(tree, "refusal", f"{at}.")
    if refusal:
        parts.append(Refusal(text=refusal))
    if tree.get("audio") is not None:
        losses.add("messages[].audio")
    for j, item in enumerate(items(tree, "tool_calls", f"{at}.")):
        where = f"{at}.tool_calls[{j}]"
        call = mapping(item, where)
        kind = call.get("type", "function")
        if kind != "function":
            raise untranslatable(f"{where}.type", f"a tool call of type `{kind}`")
        parts.append(_call(call, where))
    if tree.get("function_call") is not None:
        function = mapping(tree["function_call"], f"{at}.function_call")
        name = need_text(function, "name", f"{at}.function_call.")
        legacy[name] = f"call_{name}_{len(legacy)}"
        arguments = text(function, "arguments", f"{at}.function_call.") or "{}"
        parts.append(ToolCall(id=legacy[name], name=name, arguments=arguments))
    return parts


def _call(call: Tree, at: str) -> ToolCall:
    function = mapping(call.get("function"), f"{at}.function")
    return ToolCall(
        id=need_text(call, "id", f"{at}."),
        name=need_text(function, "name", f"{at}.function."),
        arguments=text(function, "arguments", f"{at}.function.") or "{}",
        cache=cache_mark(call, f"{at}."),
    )
