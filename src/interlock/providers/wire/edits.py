"""What the gateway changes in a request, applied to the neutral model.

The pass-through path applies the same `Edits` to bytes; here they are functions of
values. Order matters: results are named by our ids, so they are replaced before ids
become the upstream's, and reinserted calls already carry the upstream's.
"""

from collections.abc import Mapping, Sequence

import msgspec

from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import Edits, Reinsert
from interlock.providers.wire.model import (
    Message,
    Part,
    Reasoning,
    Request,
    Text,
    ToolCall,
    ToolResult,
)
from interlock.providers.wire.reading import Tree

__all__ = ["apply", "with_earlier_items"]

_FIELDS = frozenset(Request.__struct_fields__) - {"messages", "tools", "provider_tools", "dropped"}


def with_earlier_items(tree: Tree, edits: Edits) -> Tree:
    """A Responses body with the items and tools of the responses it follows."""
    if not edits.prepend and edits.tools is None:
        return tree
    tree = dict(tree)
    if edits.prepend:
        given = tree.get("input")
        if isinstance(given, str):
            given = [{"type": "message", "role": "user", "content": given}]
        if given is None or isinstance(given, list):
            tree["input"] = [*edits.prepend, *(given or ())]
        tree.pop("previous_response_id", None)
        tree.pop("conversation", None)
    if edits.tools is not None and not tree.get("tools"):
        tree["tools"] = list(edits.tools)
    return tree


def apply(request: Request, edits: Edits) -> Request:
    """`request` as the gateway wants it. Raises `InvalidRequestError` for a wrong override."""
    changed: Tree = {}
    if edits.results or edits.upstream_id is not None or edits.reinsert:
        changed["messages"] = _messages(request, edits)
    if edits.drop_tools:
        changed.update(_without_tools(request, edits.drop_tools))
    changed.update(_overrides(request, edits.overrides))
    if edits.model is not None:
        changed["model"] = edits.model
    return msgspec.structs.replace(request, **changed) if changed else request


def _messages(request: Request, edits: Edits) -> list[Message]:
    out: list[Message] = []
    for message in request.messages:
        if message.role not in {"assistant", "tool"}:
            out.append(message)
            continue
        parts = [_part(part, edits) for part in message.parts]
        out.append(msgspec.structs.replace(message, parts=parts))
    return _reinserted(out, edits.reinsert) if edits.reinsert else out


def _part(part: Part, edits: Edits) -> Part:
    if isinstance(part, ToolCall) and edits.upstream_id is not None:
        return msgspec.structs.replace(part, id=edits.upstream_id(part.id))
    if isinstance(part, ToolResult):
        text = edits.results.get(part.call_id)
        if text is not None:
            shown = [item for item in part.content if not isinstance(item, Text)]
            said = [Text(text=text)] if text else []
            part = msgspec.structs.replace(part, content=[*said, *shown])
        if edits.upstream_id is not None:
            part = msgspec.structs.replace(part, call_id=edits.upstream_id(part.call_id))
    return part


def _reinserted(messages: list[Message], reinsert: Sequence[Reinsert]) -> list[Message]:
    """Each denied call after its sibling, and its denial after the sibling's result."""
    after: dict[str, list[Reinsert]] = {}
    for entry in reinsert:
        after.setdefault(entry.after_call_id, []).append(entry)
    out: list[Message] = []
    for message in messages:
        parts: list[Part] = []
        for part in message.parts:
            parts.append(part)
            if isinstance(part, ToolCall):
                parts += [entry.call for entry in after.get(part.id, ())]
            elif isinstance(part, ToolResult):
                parts += [_denial(entry) for entry in after.get(part.call_id, ())]
        out.append(msgspec.structs.replace(message, parts=parts))
    return out


def _denial(entry: Reinsert) -> ToolResult:
    return ToolResult(call_id=entry.call.id, content=[Text(text=entry.denial)], is_error=True)


def _without_tools(request: Request, names: frozenset[str]) -> Tree:
    tools = [tool for tool in request.tools if tool.qualified not in names]
    foreign = [tool for tool in request.provider_tools if tool.name not in names]
    choice = request.tool_choice
    if choice is not None and (
        choice.name in names or (choice.mode == "required" and not tools and not foreign)
    ):
        choice = None
    if not tools and not foreign:
        choice = None
    return {"tools": tools, "provider_tools": foreign, "tool_choice": choice}


def _overrides(request: Request, overrides: Mapping[str, object]) -> Tree:
    """Sampling overrides by field name; `reasoning` may be an object as in X-Config."""
    if not overrides:
        return {}
    changed: Tree = {}
    for name, value in overrides.items():
        if name == "reasoning_effort":
            changed["reasoning"] = _convert(
                {"effort": value, "enabled": value != "none"}, Reasoning | None, name
            )
        elif name == "reasoning" and isinstance(value, dict):
            tree = dict(value)
            if "budget" in tree:
                tree["budget_tokens"] = tree.pop("budget")
            changed[name] = _convert(tree, Reasoning, name)
        elif name == "max_completion_tokens":
            changed["max_tokens"] = _convert(value, int, name)
        elif name in _FIELDS:
            changed[name] = value
        else:
            raise InvalidRequestError(f"`{name}` is not a member of a model call", param=name)
    checked = msgspec.to_builtins(
        msgspec.structs.replace(request, messages=[], tools=[], **changed)
    )
    _convert(checked, Request, "llm")
    return changed


def _convert(value: object, kind: object, at: str) -> object:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"`{at}` is wrong: {error}", param=at) from error
