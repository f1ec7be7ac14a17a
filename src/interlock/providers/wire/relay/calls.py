"""Tool calls as Chat Completions and Messages write them: what is one, and its identity."""

from collections.abc import Mapping
from typing import Any

from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.relay.exact import JSON_ERRORS, dumps, loads, text_of

__all__ = [
    "CallIds",
    "chat_call",
    "check_kind",
    "is_tool_use",
    "object_of",
    "with_chat_arguments",
]

Tree = dict[str, Any]

_PROVIDER_RUN = frozenset({"mcp_tool_use", "server_tool_use"})


class CallIds:
    """Gives every call of a round an id of its own.

    Some providers send no ids, or the same id twice. A decision must never fall on two
    calls, so such a call gets a new id; the upstream sees that one in the history.
    """

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def claim(self, wanted: object) -> str:
        """`wanted`, or something close to it that is free."""
        base = text_of(wanted) or "call"
        found, n = base, 0
        while found in self._taken or not found:
            found = f"{base}_{n}"
            n += 1
        self._taken.add(found)
        return found


def is_tool_use(kind: object) -> bool:
    """Whether a Messages block of this type is a call the client would run.

    Unknown types that end like a call are calls: an unknown action is never let
    through undecided.
    """
    return isinstance(kind, str) and kind.endswith("tool_use") and kind not in _PROVIDER_RUN


def check_kind(call: Mapping[str, Any]) -> None:
    """Refuses an entry that is a function and a custom tool at once.

    One of the two would be decided, and the client might run the other. Raises
    `MalformedAnswerError`.
    """
    if isinstance(call.get("function"), dict) and isinstance(call.get("custom"), dict):
        raise MalformedAnswerError("the upstream sent a tool call of two kinds")


def chat_call(call: Mapping[str, Any]) -> tuple[str, str]:
    """Name and arguments (JSON text) of an entry of `tool_calls`.

    An entry that is neither a function nor a custom tool is decided by its type.
    """
    function = call.get("function")
    if isinstance(function, dict):
        arguments = function.get("arguments")
        text = text_of(arguments) if isinstance(arguments, str) else dumps(arguments or {}).decode()
        return text_of(function.get("name")), text if text.strip() else "{}"
    custom = call.get("custom")
    if isinstance(custom, dict):
        text = dumps({"input": custom.get("input")}).decode()
        return text_of(custom.get("name")), text
    rest = {k: v for k, v in call.items() if k not in ("id", "index", "type")}
    return text_of(call.get("type")), dumps(rest).decode()


def object_of(arguments: str) -> Tree:
    """Arguments as an object; empty when they are not one."""
    try:
        tree = loads(arguments.encode())
    except JSON_ERRORS:
        return {}
    return tree if isinstance(tree, dict) else {}


def with_chat_arguments(call: Mapping[str, Any], arguments: str) -> Tree:
    """An entry of `tool_calls` with other arguments, given as `chat_call` tells them."""
    custom = call.get("custom")
    if isinstance(custom, dict) and not isinstance(call.get("function"), dict):
        found = object_of(arguments).get("input")
        text = found if isinstance(found, str) else arguments
        return {**call, "custom": {**custom, "input": text}}
    function = call.get("function")
    known = function if isinstance(function, dict) else {}
    return {**call, "function": {**known, "arguments": arguments}}
