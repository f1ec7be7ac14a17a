"""The Chat Completions body for the upstream: the client's, with what must change."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from interlock.providers.wire.exchange import Edits, Head, Reinsert
from interlock.providers.wire.relay.exact import dumps, elements, loads, members, raw
from interlock.providers.wire.relay.history import (
    Siblings,
    mapper,
    relax_choice,
    touches_history,
    unchanged,
)
from interlock.providers.wire.relay.offered import chat_functions, chat_tools
from interlock.providers.wire.relay.overrides import apply_overrides, drop_tools
from interlock.providers.wire.relay.peek import decode

__all__ = ["again_chat", "request_chat"]

Members = dict[str, Raw]


class _Call(Struct):
    id: str | None = None


class _Message(Struct):
    role: str
    tool_call_id: str | None = None
    tool_calls: list[_Call] | None = None
    name: str | None = None


_messages = msgspec.json.Decoder(list[_Message])


def request_chat(head: Head, edits: Edits, lost: list[str]) -> bytes:
    """The body; paths of what could not be carried are added to `lost`."""
    ask = edits.ask_usage and head.stream and not head.wants_usage
    history = touches_history(head, edits)
    rename = edits.model is not None and edits.model != head.model
    members_change = bool(rename or ask or edits.drop_tools or edits.overrides)
    if not (members_change or history):
        return head.body
    body = members(head.body)
    if rename:
        body["model"] = raw(edits.model)
    if ask:
        options = members(body["stream_options"]) if _given(body, "stream_options") else {}
        body["stream_options"] = raw({**options, "include_usage": True})
    if edits.drop_tools:
        drop_tools(body, edits.drop_tools, chat_tools)
        drop_tools(body, edits.drop_tools, chat_functions, "functions")
    if edits.overrides:
        lost += apply_overrides(body, edits.overrides, "chat")
    if history:
        before = body["messages"]
        body["messages"] = _History(edits).rewrite(before)
        if body["messages"] is before and not members_change:
            return head.body
    return dumps(body)


def _given(body: Members, name: str) -> bool:
    return name in body and bytes(body[name]) != b"null"


class _History:
    """Rewrites the messages whose ids, results or neighbours change; others stay raw."""

    def __init__(self, edits: Edits) -> None:
        self._map = mapper(edits)
        self._results = edits.results
        self._siblings = Siblings(edits.reinsert)
        self._unanswered: list[Reinsert] = []
        """Calls put back whose sibling's result has not been met yet."""

    def rewrite(self, listed: Raw) -> Raw:
        """The whole list."""
        out: list[Raw | dict[str, Any]] = []
        read = decode(_messages, listed, "messages")
        given = elements(listed)
        for message, opened in zip(read, given, strict=True):
            if message.role not in ("tool", "function"):
                self._settle(out)
            if message.role == "assistant" and message.tool_calls:
                out.append(self._assistant(opened, message.tool_calls))
            elif message.role in ("tool", "function"):
                self._result(out, opened, message)
            else:
                out.append(opened)
        self._settle(out)
        return listed if unchanged(out, given) else raw(out)

    def _settle(self, out: list[Raw | dict[str, Any]]) -> None:
        """Refusals of calls put back must not stay away because their sibling's result did."""
        for one in self._unanswered:
            out.append(_refusal(one))
        self._unanswered = []

    def _assistant(self, opened: Raw, calls: list[_Call]) -> Raw:
        wanted = [self._map(call.id) if call.id else call.id for call in calls]
        put_back = [self._siblings.calls(call_id) if call_id else [] for call_id in wanted]
        if not any(put_back) and all(
            new == call.id for new, call in zip(wanted, calls, strict=True)
        ):
            return opened
        message = members(opened)
        listed: list[Raw | dict[str, Any]] = []
        for call, old, new, more in zip(
            elements(message["tool_calls"]), calls, wanted, put_back, strict=True
        ):
            listed.append(call if new == old.id else raw({**members(call), "id": new}))
            listed += [_call(one) for one in more]
            self._unanswered += more
        message["tool_calls"] = raw(listed)
        return raw(message)

    def _result(self, out: list[Raw | dict[str, Any]], opened: Raw, message: _Message) -> None:
        ours = message.tool_call_id or message.name or ""
        theirs = self._map(ours)
        text = self._results.get(ours)
        if text is not None or (message.tool_call_id and theirs != ours):
            tree = members(opened)
            if message.tool_call_id:
                tree["tool_call_id"] = raw(theirs)
            if text is not None:
                tree["content"] = raw(text)
            opened = raw(tree)
        out.append(opened)
        for one in self._siblings.refusals(theirs):
            out.append(_refusal(one))
            self._unanswered = [other for other in self._unanswered if other is not one]


def _call(one: Reinsert) -> dict[str, Any]:
    function = {"name": one.call.name, "arguments": one.call.arguments or "{}"}
    return {"id": one.call.id, "type": "function", "function": function}


def _refusal(one: Reinsert) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": one.call.id, "content": one.denial}


def again_chat(
    request_body: bytes, message: Mapping[str, Any], denials: Sequence[tuple[str, str, str]]
) -> bytes:
    """The next round: `message` as the model made it, then a refusal for each of its calls.

    `denials` are (call id, name, text). One answer is continued, so only one is asked for.
    """
    body = members(request_body)
    legacy = "tool_calls" not in message and isinstance(message.get("function_call"), dict)
    more: list[Any] = [message]
    for call_id, name, text in denials:
        if legacy:
            more.append({"role": "function", "name": name, "content": text})
        else:
            more.append({"role": "tool", "tool_call_id": call_id, "content": text})
    body["messages"] = raw([*elements(body["messages"]), *more])
    relax_choice(body)
    if "n" in body and loads(body["n"]) not in (None, 1):
        body["n"] = Raw(b"1")
    return dumps(body)
