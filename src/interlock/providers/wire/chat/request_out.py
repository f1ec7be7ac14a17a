"""A neutral request as a Chat Completions one."""

from collections.abc import Mapping, Sequence

from interlock.providers.wire.chat.content import (
    encode_part,
    encode_reasoning,
    encode_texts,
    with_cache,
)
from interlock.providers.wire.codec import Encoded
from interlock.providers.wire.model import (
    Document,
    Image,
    Message,
    OutputFormat,
    Part,
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
from interlock.providers.wire.results import as_error
from interlock.providers.wire.thinking import effort_of

__all__ = ["assistant_message", "continued", "encode_request"]

_PLAIN = (
    "parallel_tool_calls",
    "temperature",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "n",
    "user",
    "metadata",
    "service_tier",
    "verbosity",
    "store",
)
"""Members with the same name and meaning as the neutral field."""

_MAX_STOPS = 4


def encode_request(request: Request) -> Encoded:
    """Raises `UntranslatableError` for provider tools of other formats."""
    losses = Losses(request.dropped)
    messages: list[Tree] = []
    last_user = max(
        (i for i, message in enumerate(request.messages) if message.role == "user"), default=-1
    )
    for i, message in enumerate(request.messages):
        if message.role == "assistant":
            message = _without_foreign_thoughts(message, losses, plain=i > last_user)  # noqa: PLW2901
        _message(message, messages)
    body: Tree = {"model": request.model, "messages": messages}
    _put_tools(request, body)
    for name in _PLAIN:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    _put_limits(request, body, losses)
    if request.output_format is not None:
        body["response_format"] = _response_format(request.output_format)
    body.update(request.openai)
    if request.stream:
        body["stream"] = True
        if request.include_usage:
            body["stream_options"] = {"include_usage": True}
    return Encoded(body=body, dropped=losses.list())


def _put_limits(request: Request, body: Tree, losses: Losses) -> None:
    if request.max_tokens is not None:
        body["max_completion_tokens"] = request.max_tokens
    if request.top_k is not None:
        losses.add("top_k")
    if request.stop:
        body["stop"] = request.stop[:_MAX_STOPS]
        if len(request.stop) > _MAX_STOPS:
            losses.add("stop")
    if request.reasoning is not None:
        effort = effort_of(request.reasoning)
        if effort is not None:
            body["reasoning_effort"] = effort
        else:
            losses.add("reasoning")
        if request.reasoning.summary is not None:
            losses.add("reasoning.summary")


def _without_foreign_thoughts(message: Message, losses: Losses, *, plain: bool) -> Message:
    """Keeps proofs a chat upstream made and, with `plain`, thoughts without proof.

    Providers refuse members they do not know, so thoughts go only to those that told
    them so; ones without proof are wanted only within a running loop of tool calls.
    """

    def kept(part: Part) -> bool:
        if not isinstance(part, Thinking):
            return True
        proved = part.signature is not None or part.encrypted is not None
        return part.origin == "chat" if proved else plain

    parts = [part for part in message.parts if kept(part)]
    if len(parts) == len(message.parts):
        return message
    losses.add("messages[].reasoning")
    return Message(role=message.role, parts=parts, name=message.name)


def _put_tools(request: Request, body: Tree) -> None:
    tools = [_tool(tool) for tool in request.tools]
    for foreign in request.provider_tools:
        if foreign.format != "chat":
            raise untranslatable("tools", f"a tool of type `{foreign.type}`")
        tools.append(foreign.raw)
    if tools:
        body["tools"] = tools
    if request.tool_choice is not None:
        body["tool_choice"] = _tool_choice(request.tool_choice)


def _tool(tool: ToolDef) -> Tree:
    function: Tree = {"name": tool.qualified}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.schema or {"type": "object", "properties": {}}
    if tool.output_schema is not None:
        function["output_schema"] = tool.output_schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return with_cache({"type": "function", "function": function}, tool.cache)


def _tool_choice(choice: ToolChoice) -> str | Tree:
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def _response_format(wanted: OutputFormat) -> Tree:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    schema: Tree = {"name": wanted.name or "answer", "schema": wanted.schema or {}}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    if wanted.description is not None:
        schema["description"] = wanted.description
    return {"type": "json_schema", "json_schema": schema}


def _message(message: Message, out: list[Tree]) -> None:
    if message.role == "tool":
        _results(message.parts, out)
        return
    if message.role == "assistant":
        tree = assistant_message(message.parts)
    else:
        parts = message.parts
        if len(parts) == 1 and isinstance(parts[0], Text) and parts[0].cache is None:
            content: str | list[Tree] = parts[0].text
        else:
            content = [encode_part(part) for part in parts] or ""
        tree = {"role": message.role, "content": content}
    if message.name is not None:
        tree["name"] = message.name
    out.append(tree)


def assistant_message(parts: Sequence[Part]) -> Tree:
    """An assistant message, with `content` null when it only calls tools."""
    texts: list[Text] = []
    refusals: list[str] = []
    thoughts: list[Thinking] = []
    calls: list[Tree] = []
    for part in parts:
        if isinstance(part, Text):
            texts.append(part)
        elif isinstance(part, ToolCall):
            calls.append(_call(part))
        elif isinstance(part, Thinking):
            thoughts.append(part)
        elif isinstance(part, Refusal):
            refusals.append(part.text)
        else:
            raise untranslatable("messages", f"`{type(part).__name__}` in an assistant message")
    content: str | list[Tree] | None = encode_texts(texts)
    tree: Tree = {"role": "assistant", "content": content or (None if calls else "")}
    put_reasoning(tree, thoughts)
    if refusals:
        tree["refusal"] = "".join(refusals)
    if calls:
        tree["tool_calls"] = calls
    return tree


def put_reasoning(tree: Tree, thoughts: Sequence[Thinking]) -> None:
    """Adds reasoning to a message: readable text, and proofs where there are any."""
    plain = "".join(part.text for part in thoughts)
    if plain:
        tree["reasoning_content"] = plain
    if any(part.signature or part.encrypted for part in thoughts):
        tree["reasoning_details"] = [
            encode_reasoning(part, index) for index, part in enumerate(thoughts)
        ]


def _call(call: ToolCall) -> Tree:
    function = {"name": call.qualified, "arguments": call.arguments}
    return with_cache({"id": call.id, "type": "function", "function": function}, call.cache)


def _results(parts: Sequence[Part], out: list[Tree]) -> None:
    """Tool messages; what only a user message can hold follows them in one."""
    shown: list[Tree] = []
    for part in parts:
        if not isinstance(part, ToolResult):
            raise untranslatable("messages", f"`{type(part).__name__}` among tool results")
        texts = [item for item in part.content if isinstance(item, Text)]
        others = [item for item in part.content if isinstance(item, Image | Document)]
        if part.is_error:
            texts = as_error(texts)
        if others:
            note = f"Returned by tool call {part.call_id}:"
            shown.append({"type": "text", "text": note})
            shown += [encode_part(item) for item in others]
            texts = texts or [Text(text="The result follows in the next message.")]
        content = encode_texts(texts)
        tree: Tree = {"role": "tool", "tool_call_id": part.call_id, "content": content}
        if part.cache is not None:
            if isinstance(content, str):
                tree["content"] = [{"type": "text", "text": content}]
            with_cache(tree["content"][-1], part.cache)
        out.append(tree)
    if shown:
        out.append({"role": "user", "content": shown})


def continued(body: Tree, parts: Sequence[Part], results: Mapping[str, str]) -> Tree:
    """See `Codec.continued`."""
    messages = list(body.get("messages") or ())
    messages.append(assistant_message(parts))
    for part in parts:
        if isinstance(part, ToolCall):
            messages.append(
                {"role": "tool", "tool_call_id": part.id, "content": results.get(part.id, "")}
            )
    return {**body, "messages": messages}
