"""Tool names across formats: functions in a namespace become one flat name and back.

Only Responses knows namespaces. The flat name is a pure function of the qualified
name, so that a conversation keeps its names from request to request.
"""

import hashlib
import re
from collections.abc import Iterable

import msgspec

from interlock.providers.wire.model import Message, Part, Request, ToolCall, ToolChoice, ToolDef

__all__ = ["ToolNames"]

_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_MAX = 64


class ToolNames:
    """Flat names of one request's namespaced tools."""

    __slots__ = ("_back", "_flat", "_taken")

    def __init__(self, tools: Iterable[ToolDef] = ()) -> None:
        tools = list(tools)
        self._flat: dict[tuple[str, str], str] = {}
        self._back: dict[str, tuple[str, str]] = {}
        self._taken = {tool.name for tool in tools if tool.namespace is None}
        for tool in tools:
            if tool.namespace is not None:
                self._add(tool.namespace, tool.name)

    def _add(self, namespace: str, name: str) -> str:
        known = self._flat.get((namespace, name))
        if known is not None:
            return known
        flat = _ILLEGAL.sub("_", f"{namespace}__{name}")
        if len(flat) > _MAX or flat in self._taken or flat in self._back:
            digest = hashlib.sha256(f"{namespace}.{name}".encode()).hexdigest()[:8]
            flat = f"{flat[: _MAX - 9]}_{digest}"
        self._flat[namespace, name] = flat
        self._back[flat] = (namespace, name)
        return flat

    def flatten(self, request: Request) -> Request:
        """`request` without namespaces: definitions, calls in the history, the choice."""
        messages = [self._message(message) for message in request.messages]
        if not self._flat:
            return request
        changed = {
            "messages": messages,
            "tools": [
                msgspec.structs.replace(
                    tool,
                    name=self._add(tool.namespace, tool.name),
                    namespace=None,
                    namespace_description=None,
                )
                if tool.namespace is not None
                else tool
                for tool in request.tools
            ],
            "tool_choice": self._choice(request.tool_choice),
        }
        return msgspec.structs.replace(request, **changed)

    def _message(self, message: Message) -> Message:
        if not any(isinstance(part, ToolCall) and part.namespace for part in message.parts):
            return message
        parts: list[Part] = [
            self.flat_call(part) if isinstance(part, ToolCall) else part for part in message.parts
        ]
        return msgspec.structs.replace(message, parts=parts)

    def _choice(self, choice: ToolChoice | None) -> ToolChoice | None:
        if choice is None or choice.name is None:
            return choice
        namespace, _, name = choice.name.rpartition(".")
        flat = self._flat.get((namespace, name))
        return ToolChoice(mode=choice.mode, name=flat) if flat else choice

    def flat_call(self, call: ToolCall) -> ToolCall:
        """`call` under its flat name."""
        if call.namespace is None:
            return call
        flat = self._add(call.namespace, call.name)
        return msgspec.structs.replace(call, name=flat, namespace=None)

    def restore(self, call: ToolCall) -> ToolCall:
        """`call` as the client knows it."""
        back = self._back.get(call.name)
        if back is None:
            return call
        return msgspec.structs.replace(call, namespace=back[0], name=back[1])
