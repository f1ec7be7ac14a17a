"""A neutral request as a Messages one.

Messages is the strictest of the formats: a first message of the user, alternating
roles, no empty text, a token limit, and rules on what goes together with thinking.
"""

from collections.abc import Mapping, Sequence

from interlock.providers.wire.codec import Encoded
from interlock.providers.wire.messages.blocks import (
    call_id,
    encode_block,
    encode_call,
    encode_result,
    encode_thinking,
    with_cache,
)
from interlock.providers.wire.model import (
    Audio,
    Document,
    Image,
    Message,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolDef,
    ToolResult,
)
from interlock.providers.wire.reading import Losses, Tree, untranslatable
from interlock.providers.wire.thinking import MIN_BUDGET, budget_of

__all__ = ["DEFAULT_MAX_TOKENS", "continued", "encode_request"]

DEFAULT_MAX_TOKENS = 16384
"""Answer tokens when the caller names no limit; a thinking budget comes on top."""

_UNSAID = (
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "metadata",
    "verbosity",
    "store",
)
"""Fields Messages has no member for."""

_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_JSON_ONLY = "Answer with one JSON object and nothing else."
_NO_MESSAGE = "Continue."


def encode_request(request: Request) -> Encoded:
    """Raises `UntranslatableError` for audio, several choices and tools of other providers."""
    if request.n is not None and request.n > 1:
        raise untranslatable("n", "a request for several choices")
    losses = Losses(request.dropped)
    body: Tree = {"model": request.model, "max_tokens": request.max_tokens}
    system = _system(request, losses)
    if system:
        body["system"] = system
    body["messages"] = _turns(request.messages, losses)
    _put_tools(request, body)
    _put_sampling(request, body, losses)
    if request.output_format is not None:
        _put_format(request.output_format, body, losses)
    _put_thinking(request.reasoning, body, losses)
    if body["max_tokens"] is None:
        budget = (body.get("thinking") or {}).get("budget_tokens", 0)
        body["max_tokens"] = DEFAULT_MAX_TOKENS + budget
    _put_caller(request, body, losses)
    if request.stream:
        body["stream"] = True
    for name in _UNSAID:
        if getattr(request, name) is not None:
            losses.add(name)
    for name in request.openai:
        losses.add(name)
    return Encoded(body=body, dropped=losses.list())


def _put_sampling(request: Request, body: Tree, losses: Losses) -> None:
    if request.temperature is not None:
        body["temperature"] = min(request.temperature, 1)
        if request.temperature > 1:
            losses.add("temperature")
    if request.top_p == 1 and request.temperature is not None:
        losses.add("top_p")  # says nothing, and newer models refuse both at once
    elif request.top_p is not None:
        body["top_p"] = request.top_p
    if request.top_k is not None:
        body["top_k"] = request.top_k
    if request.stop:
        body["stop_sequences"] = [word for word in request.stop if word.strip()]
        if len(body["stop_sequences"]) < len(request.stop):
            losses.add("stop")


def _put_caller(request: Request, body: Tree, losses: Losses) -> None:
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    if request.service_tier in {"auto", "default"}:
        body["service_tier"] = "auto" if request.service_tier == "auto" else "standard_only"
    elif request.service_tier is not None:
        losses.add("service_tier")


def _put_format(wanted: OutputFormat, body: Tree, losses: Losses) -> None:
    if wanted.kind == "json_schema":
        form = {"type": "json_schema", "schema": wanted.schema or {}}
        body.setdefault("output_config", {})["format"] = form
    for name in ("name", "strict", "description"):
        if getattr(wanted, name) is not None:
            losses.add(f"output_format.{name}")


def _system(request: Request, losses: Losses) -> str | list[Tree]:
    """All system and developer text, in order; Messages has one place for it, the front."""
    parts: list[Text] = []
    spoken = False
    for message in request.messages:
        if message.role not in {"system", "developer"}:
            spoken = True
            continue
        if spoken:
            losses.add("messages[].role")
        for part in message.parts:
            if not isinstance(part, Text):
                kind = type(part).__name__.lower()
                raise untranslatable("messages", f"`{kind}` in a system message")
            if part.text:
                parts.append(part)
    if request.output_format is not None and request.output_format.kind == "json_object":
        losses.add("output_format")
        parts.append(Text(text=_JSON_ONLY))
    if len(parts) == 1 and parts[0].cache is None:
        return parts[0].text
    return [encode_block(part) for part in parts]


def _turns(messages: Sequence[Message], losses: Losses) -> list[Tree]:
    turns: list[Tree] = []
    for message in messages:
        if message.role in {"system", "developer"}:
            continue
        if message.name is not None:
            losses.add("messages[].name")
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [block for part in message.parts if (block := _block(part, losses)) is not None]
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": _NO_MESSAGE}]})
    for turn in turns:
        _settle(turn, last=turn is turns[-1])
    return turns


def _settle(turn: Tree, *, last: bool) -> None:
    """Tool results first; one plain text as a string; no white space at the very end."""
    blocks = turn["content"]
    if turn["role"] == "user":
        blocks.sort(key=lambda block: block["type"] != "tool_result")
    elif last and blocks[-1]["type"] == "text":
        blocks[-1] = {**blocks[-1], "text": blocks[-1]["text"].rstrip() or "."}
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        turn["content"] = blocks[0]["text"]


def _block(part: Part, losses: Losses) -> Tree | None:
    if isinstance(part, Text):
        return encode_block(part) if part.text else None
    if isinstance(part, Image):
        if part.detail not in {None, "auto"}:
            losses.add("messages[].content[].image_url.detail")
        return encode_block(part)
    if isinstance(part, Document):
        return encode_block(part)
    if isinstance(part, ToolResult):
        return encode_result(part)
    if isinstance(part, ToolCall):
        return _call(part, losses)
    if isinstance(part, Thinking):
        if part.origin not in {None, "messages"} or not (part.signature or part.encrypted):
            losses.add("messages[].reasoning")
            return None
        return encode_thinking(part)
    if isinstance(part, Refusal):
        return {"type": "text", "text": part.text} if part.text else None
    if isinstance(part, Audio):
        raise untranslatable("messages", "a part of type `input_audio`")
    raise untranslatable("messages", f"`{type(part).__name__}`")


def _call(part: ToolCall, losses: Losses) -> Tree:
    block = encode_call(part)
    if block is None:
        losses.add("messages[].tool_calls[].function.arguments")
        block = {
            "type": "tool_use",
            "name": part.qualified,
            "input": {"unreadable_arguments": part.arguments},
        }
    block["id"] = call_id(part.id)
    return with_cache(block, part.cache)


def _put_tools(request: Request, body: Tree) -> None:
    tools = [_tool(tool) for tool in request.tools]
    for foreign in request.provider_tools:
        if foreign.format != "messages":
            raise untranslatable("tools", f"a tool of type `{foreign.type}`")
        tools.append(foreign.raw)
    if tools:
        body["tools"] = tools
    choice = request.tool_choice
    parallel = request.parallel_tool_calls
    if not tools or (choice is None and parallel is None):
        return
    mode = choice.mode if choice is not None else "auto"
    tree: Tree = {"type": "any" if mode == "required" else mode}
    if choice is not None and mode == "tool":
        tree["name"] = choice.name
    if parallel is not None and mode != "none":
        tree["disable_parallel_tool_use"] = not parallel
    body["tool_choice"] = tree


def _tool(tool: ToolDef) -> Tree:
    tree: Tree = {"name": tool.qualified}
    if tool.description is not None:
        tree["description"] = tool.description
    tree["input_schema"] = tool.schema or {"type": "object", "properties": {}}
    if tool.output_schema is not None:
        tree["output_schema"] = tool.output_schema
    if tool.strict is not None:
        tree["strict"] = tool.strict
    return with_cache(tree, tool.cache)


def _put_thinking(reasoning: Reasoning | None, body: Tree, losses: Losses) -> None:
    if reasoning is None:
        return
    effort = reasoning.effort
    if not reasoning.enabled:
        if effort in {None, "none"}:
            body["thinking"] = {"type": "disabled"}
    elif reasoning.adaptive:
        body["thinking"] = {"type": "adaptive"}
    else:
        _put_budget(reasoning, body, losses)
    explicit = not reasoning.enabled or reasoning.adaptive or reasoning.budget_tokens is not None
    if effort in _EFFORTS and explicit:
        body.setdefault("output_config", {})["effort"] = effort
    if reasoning.summary is not None:
        losses.add("reasoning.summary")
    if body.get("thinking", {}).get("type") in {"enabled", "adaptive"}:
        _reconcile(body, losses)


def _put_budget(reasoning: Reasoning, body: Tree, losses: Losses) -> None:
    """A budget below the token limit; without room or proof of earlier thoughts, none."""
    budget = budget_of(reasoning)
    limit = body["max_tokens"]
    if budget is not None and limit is not None and budget >= limit:
        budget = limit * 4 // 5
    if budget is None or budget < MIN_BUDGET or _unproved(body["messages"]):
        losses.add("reasoning")
        return
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _unproved(turns: Sequence[Tree]) -> bool:
    """Whether a tool loop is open whose assistant turn does not begin with a thought.

    The provider refuses to think then: it wants the thoughts that led to the calls.
    """
    if len(turns) < 2 or turns[-1]["role"] != "user" or isinstance(turns[-1]["content"], str):
        return False
    if turns[-1]["content"][0]["type"] != "tool_result":
        return False
    before = turns[-2]["content"]
    kind = "text" if isinstance(before, str) else before[0]["type"]
    return kind not in {"thinking", "redacted_thinking"}


def _reconcile(body: Tree, losses: Losses) -> None:
    """What the provider refuses together with thinking: forced tools win, sampling loses."""
    if body.get("tool_choice", {}).get("type") in {"any", "tool"}:
        del body["thinking"]
        losses.add("reasoning")
        return
    if body.get("temperature", 1) != 1:
        del body["temperature"]
        losses.add("temperature")
    if body.get("top_p", 1) < 0.95:
        del body["top_p"]
        losses.add("top_p")
    if "top_k" in body:
        del body["top_k"]
        losses.add("top_k")


def continued(body: Tree, parts: Sequence[Part], results: Mapping[str, str]) -> Tree:
    """See `Codec.continued`. Without the thoughts of the round before, thinking stops."""
    turns = list(body.get("messages") or ())
    losses = Losses()
    blocks = [block for part in parts if (block := _block(part, losses)) is not None]
    turns.append({"role": "assistant", "content": blocks})
    answers = [
        encode_result(
            ToolResult(
                call_id=part.id, content=[Text(text=results.get(part.id, ""))], is_error=True
            )
        )
        for part in parts
        if isinstance(part, ToolCall)
    ]
    turns.append({"role": "user", "content": answers})
    body = {**body, "messages": turns}
    if (body.get("thinking") or {}).get("type") == "enabled" and _unproved(turns):
        del body["thinking"]
    return body
