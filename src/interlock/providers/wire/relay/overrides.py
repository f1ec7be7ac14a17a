"""Edits of single request members that no message depends on.

Model name, sampling overrides (`X-Config` `llm`), tools that must not reach the model.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import FormatName
from interlock.providers.wire.model import Reasoning
from interlock.providers.wire.relay.exact import dumps, elements, loads, members, raw

__all__ = ["apply_overrides", "drop_tools"]

Members = dict[str, Raw]

_SAME = ("temperature", "top_p", "top_k", "service_tier", "metadata")
_CHAT = (
    *_SAME,
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "n",
    "parallel_tool_calls",
    "user",
)
_RESPONSES = (
    "temperature",
    "top_p",
    "service_tier",
    "metadata",
    "top_logprobs",
    "parallel_tool_calls",
    "user",
)
_KNOWN = frozenset(
    {*_CHAT, *_RESPONSES, "max_tokens", "max_completion_tokens", "reasoning", "reasoning_effort"}
)
_EFFORTS = ((1536, "minimal"), (4096, "low"), (12288, "medium"))
_LEAST_BUDGET = 1024


def apply_overrides(body: Members, overrides: Mapping[str, Any], kind: FormatName) -> list[str]:
    """Sets members of `body`; returns the names this format has no member for."""
    lost = []
    setter = _SETTERS[kind]
    for given, setting in overrides.items():
        name, value = given, setting
        if name not in _KNOWN:
            raise InvalidRequestError(f"`{name}` is not a member of a model call", param=name)
        if value is None:
            continue
        if name == "reasoning_effort":
            name, value = "reasoning", {"effort": value, "enabled": value != "none"}
        elif name == "max_completion_tokens":
            name = "max_tokens"
        if not setter(body, name, value):
            lost.append(f"llm.{name}")
    return lost


def _reasoning(value: object) -> Reasoning:
    """The override as a value; X-Config calls the budget `budget`."""
    if isinstance(value, Reasoning):
        return value
    if isinstance(value, dict) and "budget" in value:
        value = {**value, "budget_tokens": value["budget"]}
        del value["budget"]
    try:
        return msgspec.convert(value, Reasoning)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"`reasoning`: {error}", param="reasoning") from error


def _effort(reasoning: Reasoning) -> str | None:
    """The effort word for it; None: the model's own default."""
    if not reasoning.enabled:
        return "none"
    if reasoning.effort is not None or reasoning.budget_tokens is None:
        return reasoning.effort
    budget = reasoning.budget_tokens
    return next((word for limit, word in _EFFORTS if budget <= limit), "high")


def _chat(body: Members, name: str, value: object) -> bool:
    if name == "max_tokens":
        body["max_tokens" if "max_tokens" in body else "max_completion_tokens"] = raw(value)
    elif name == "reasoning":
        effort = _effort(_reasoning(value))
        if effort is not None and "reasoning" in body:
            body["reasoning"] = raw({**loads(body["reasoning"]), "effort": effort})
        elif effort is not None:
            body["reasoning_effort"] = raw(effort)
    elif name in _CHAT:
        body[name] = raw(value)
    else:
        return False
    return True


def _messages(body: Members, name: str, value: object) -> bool:
    if name in ("max_tokens", *_SAME):
        body[name] = raw(value)
    elif name == "stop":
        body["stop_sequences"] = raw(value)
    elif name == "reasoning":
        _messages_reasoning(body, _reasoning(value))
    else:
        return False
    return True


def _messages_reasoning(body: Members, reasoning: Reasoning) -> None:
    if not reasoning.enabled:
        body["thinking"] = raw({"type": "disabled"})
        return
    if reasoning.adaptive:
        body["thinking"] = raw({"type": "adaptive"})
    elif reasoning.budget_tokens is not None:
        budget = max(reasoning.budget_tokens, _LEAST_BUDGET)
        body["thinking"] = raw({"type": "enabled", "budget_tokens": budget})
    if reasoning.effort is not None:
        old = loads(body["output_config"]) if "output_config" in body else None
        body["output_config"] = raw({**(old or {}), "effort": reasoning.effort})


def _responses(body: Members, name: str, value: object) -> bool:
    if name == "max_tokens":
        body["max_output_tokens"] = raw(value)
    elif name == "reasoning":
        effort = _effort(_reasoning(value))
        old = loads(body["reasoning"]) if "reasoning" in body else None
        if effort is not None:
            body["reasoning"] = raw({**(old or {}), "effort": effort})
    elif name in _RESPONSES:
        body[name] = raw(value)
    else:
        return False
    return True


_SETTERS: Mapping[FormatName, Callable[[Members, str, object], bool]] = {
    "chat": _chat,
    "messages": _messages,
    "responses": _responses,
}


def drop_tools(
    body: Members, names: frozenset[str], offered: Callable[[list[Any]], Any], member: str = "tools"
) -> None:
    """Takes the tools called `names` out of `body`, and what only makes sense with them.

    `offered` reads a list of one tool into what a policy sees of it. Namespaces are
    thinned, and go when nothing is left in them.
    """
    if member not in body or bytes(body[member]) == b"null":
        return
    kept = []
    dropped = False
    for tool in elements(body[member]):
        tree = loads(tool)
        found = [one.name for one in offered([tree])]
        gone = [name for name in found if name in names]
        if not gone:
            kept.append(tool)
            continue
        dropped = True
        if len(gone) < len(found):
            kept.append(_thinned(tool, tree, names))
    if not dropped:
        return
    if kept:
        body[member] = raw(kept)
        _check_choice(body, names)
        return
    for name in (member, "tool_choice", "function_call", "parallel_tool_calls"):
        body.pop(name, None)


def _thinned(tool: Raw, tree: dict[str, Any], names: frozenset[str]) -> Raw:
    opened = members(tool)
    inner = [
        one
        for one, read in zip(elements(opened["tools"]), tree["tools"], strict=True)
        if f"{tree['name']}.{read['name']}" not in names
    ]
    opened["tools"] = raw(inner)
    return raw(opened)


def _check_choice(body: Members, names: frozenset[str]) -> None:
    """A choice that insists on a tool that is gone becomes a free choice."""
    for member in ("tool_choice", "function_call"):
        choice = loads(body[member]) if member in body else None
        if not isinstance(choice, dict):
            continue
        if isinstance(choice.get("tools"), list) or isinstance(choice.get("allowed_tools"), dict):
            _thin_allowed(body, member, choice, names)
        elif _chosen(choice) in names:
            free = {"type": "auto"} if choice.get("type") == "tool" else "auto"
            body[member] = Raw(dumps(free))


def _thin_allowed(
    body: Members, member: str, choice: dict[str, Any], names: frozenset[str]
) -> None:
    holder = choice.get("allowed_tools")
    holder = holder if isinstance(holder, dict) else choice
    listed = holder.get("tools")
    if not isinstance(listed, list):
        return
    left = [one for one in listed if not isinstance(one, dict) or _chosen(one) not in names]
    if len(left) < len(listed):
        holder["tools"] = left
        body[member] = raw(choice) if left else raw("auto")


def _chosen(choice: dict[str, Any]) -> str | None:
    for holder in (choice, choice.get("function"), choice.get("custom")):
        name = holder.get("name") if isinstance(holder, dict) else None
        if isinstance(name, str):
            space = holder.get("namespace") if isinstance(holder, dict) else None
            return f"{space}.{name}" if isinstance(space, str) and space else name
    return None
