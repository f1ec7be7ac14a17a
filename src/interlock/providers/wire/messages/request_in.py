"""A Messages request as a neutral one."""

from interlock.providers.wire.messages.blocks import (
    cache_mark,
    content_list,
    decode_block,
    text_blocks,
)
from interlock.providers.wire.model import (
    Message,
    OutputFormat,
    Part,
    ProviderTool,
    Reasoning,
    Request,
    Thinking,
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

_KNOWN = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "reasoning_effort",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "stream",
        "output_config",
        "metadata",
        "service_tier",
    }
)


def decode_request(tree: object) -> Request:
    """Raises `InvalidRequestError`, or `UntranslatableError` naming an unknown type."""
    body = mapping(tree, "")
    losses = Losses([key for key in body if key not in _KNOWN and body[key] is not None])
    config = mapping(body.get("output_config") or {}, "output_config")
    metadata = mapping(body.get("metadata") or {}, "metadata")
    for parent, members, known in (
        ("output_config", config, {"effort", "format"}),
        ("metadata", metadata, {"user_id"}),
    ):
        for key in members:
            if key not in known:
                losses.add(f"{parent}.{key}")
    tools, provider_tools = _tools(body, losses)
    choice, parallel = _tool_choice(body)
    stream = boolean(body, "stream") or False
    return Request(
        model=need_text(body, "model", ""),
        messages=_messages(body, losses),
        tools=tools,
        provider_tools=provider_tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_tokens=integer(body, "max_tokens", least=0),
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=integer(body, "top_k"),
        stop=_stop(body),
        reasoning=_reasoning(body, config, losses),
        output_format=_output_format(config),
        stream=stream,
        include_usage=stream,
        user=text(metadata, "user_id", "metadata."),
        service_tier=_service_tier(body),
        dropped=losses.list(),
    )


def _stop(body: Tree) -> list[str]:
    words = items(body, "stop_sequences")
    if all(isinstance(word, str) for word in words):
        return list(words)
    raise invalid("stop_sequences", "an array of strings")


def _service_tier(body: Tree) -> str | None:
    tier = text(body, "service_tier", "")
    return "default" if tier == "standard_only" else tier


def _reasoning(body: Tree, config: Tree, losses: Losses) -> Reasoning | None:
    effort = text(config, "effort", "output_config.")
    if effort is None:
        effort = text(body, "reasoning_effort", "")
    if body.get("thinking") is None:
        return Reasoning(enabled=False, effort=effort) if effort is not None else None
    tree = mapping(body["thinking"], "thinking")
    kind = need_text(tree, "type", "thinking.")
    if tree.get("display") is not None:
        losses.add("thinking.display")
    if kind == "disabled":
        return Reasoning(enabled=False, effort=effort)
    if kind == "enabled":
        budget = integer(tree, "budget_tokens", "thinking.", least=1)
        if budget is None:
            raise invalid("thinking.budget_tokens", "an integer")
        return Reasoning(budget_tokens=budget, effort=effort)
    if kind != "adaptive":
        losses.add("thinking.type")
    return Reasoning(adaptive=True, effort=effort)


def _output_format(config: Tree) -> OutputFormat | None:
    if config.get("format") is None:
        return None
    at = "output_config.format"
    tree = mapping(config["format"], at)
    if tree.get("type") != "json_schema":
        raise invalid(f"{at}.type", "`json_schema`")
    return OutputFormat(kind="json_schema", schema=mapping(tree.get("schema"), f"{at}.schema"))


_TOOL = frozenset(
    {"type", "name", "description", "input_schema", "output_schema", "strict", "cache_control"}
)


def _tools(body: Tree, losses: Losses) -> tuple[list[ToolDef], list[ProviderTool]]:
    tools: list[ToolDef] = []
    foreign: list[ProviderTool] = []
    for i, item in enumerate(items(body, "tools")):
        at = f"tools[{i}]"
        tool = mapping(item, at)
        kind = text(tool, "type", f"{at}.")
        if kind not in {None, "custom"}:
            name = text(tool, "name", f"{at}.") or str(kind)
            foreign.append(ProviderTool(format="messages", type=str(kind), name=name, raw=tool))
            continue
        for key in tool:
            if key not in _TOOL and tool[key] is not None:
                losses.add(f"tools[].{key}")
        output = tool.get("output_schema")
        tools.append(
            ToolDef(
                name=need_text(tool, "name", f"{at}."),
                description=text(tool, "description", f"{at}."),
                schema=mapping(tool.get("input_schema") or {}, f"{at}.input_schema"),
                output_schema=mapping(output, f"{at}.output_schema")
                if output is not None
                else None,
                strict=boolean(tool, "strict", f"{at}."),
                cache=cache_mark(tool, at),
            )
        )
    return tools, foreign


def _tool_choice(body: Tree) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether calls may be parallel."""
    if body.get("tool_choice") is None:
        return None, None
    tree = mapping(body["tool_choice"], "tool_choice")
    disabled = boolean(tree, "disable_parallel_tool_use", "tool_choice.")
    parallel = None if disabled is None else not disabled
    kind = tree.get("type")
    if kind == "auto":
        return ToolChoice(mode="auto"), parallel
    if kind == "any":
        return ToolChoice(mode="required"), parallel
    if kind == "none":
        return ToolChoice(mode="none"), parallel
    if kind == "tool":
        return ToolChoice(mode="tool", name=need_text(tree, "name", "tool_choice.")), parallel
    raise invalid("tool_choice.type", "`auto`, `any`, `tool` or `none`")


def _messages(body: Tree, losses: Losses) -> list[Message]:
    out: list[Message] = []
    system = text_blocks(body.get("system"), "system")
    if system:
        out.append(Message(role="system", parts=list(system)))
    for i, value in enumerate(need_items(body, "messages")):
        at = f"messages[{i}]"
        tree = mapping(value, at)
        role = tree.get("role")
        if role == "user":
            _user(tree.get("content"), f"{at}.content", out, losses)
        elif role == "assistant":
            out.append(Message(role="assistant", parts=_assistant(tree.get("content"), at)))
        elif role == "system":
            parts = text_blocks(tree.get("content"), f"{at}.content")
            out.append(Message(role="system", parts=list(parts)))
        else:
            raise invalid(f"{at}.role", "`user` or `assistant`")
    return out


def _user(content: object, at: str, out: list[Message], losses: Losses) -> None:
    """A user message; its tool results become a message of role `tool` before it."""
    results: list[Part] = []
    others: list[Part] = []
    for tree, where in content_list(content, at):
        part = decode_block(tree, where)
        if isinstance(part, ToolResult):
            results.append(part)
        elif isinstance(part, Thinking | ToolCall):
            raise invalid(f"{where}.type", "a block a user message can hold")
        else:
            if tree.get("type") == "document":
                for key in ("citations", "context"):
                    if tree.get(key) is not None:
                        losses.add(f"messages[].content[].{key}")
            others.append(part)
    if results:
        if out and out[-1].role == "tool":
            out[-1].parts.extend(results)
        else:
            out.append(Message(role="tool", parts=results))
    if others or not results:
        out.append(Message(role="user", parts=others))


def _assistant(content: object, at: str) -> list[Part]:
    parts: list[Part] = []
    for tree, where in content_list(content, f"{at}.content"):
        part = decode_block(tree, where)
        if isinstance(part, ToolResult):
            raise untranslatable(f"{where}.type", "a `tool_result` of an assistant message")
        parts.append(part)
    return parts
