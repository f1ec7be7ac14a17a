"""The Messages body for the upstream: the client's, with what must change."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from interlock.providers.wire.exchange import Edits, Head, Reinsert
from interlock.providers.wire.relay.calls import is_tool_use, object_of
from interlock.providers.wire.relay.exact import (
    dumps,
    elements,
    loads,
    members,
    raw,
)
from interlock.providers.wire.relay.history import (
    Siblings,
    mapper,
    relax_choice,
    touches_history,
    unchanged,
)
from interlock.providers.wire.relay.offered import messages_tools
from interlock.providers.wire.relay.overrides import apply_overrides, drop_tools
from interlock.providers.wire.relay.peek import ABSENT, decode

__all__ = ["again_messages", "request_messages"]

Members = dict[str, Raw]
Piece = Raw | dict[str, Any]
_QUOTE = 0x22


class _Message(Struct):
    role: str
    content: Raw = ABSENT


class _Block(Struct):
    type: str
    id: str | None = None
    tool_use_id: str | None = None
    text: Raw = ABSENT
    thinking: Raw = ABSENT


_messages = msgspec.json.Decoder(list[_Message])
_blocks = msgspec.json.Decoder(list[_Block])


def request_messages(head: Head, edits: Edits, lost: list[str]) -> bytes:
    """The body; paths of what could not be carried are added to `lost`."""
    history = touches_history(head, edits)
    rename = edits.model is not None and edits.model != head.model
    members_change = bool(rename or edits.drop_tools or edits.overrides)
    if not (members_change or history):
        return head.body
    body = members(head.body)
    if rename:
        body["model"] = raw(edits.model)
    if edits.drop_tools:
        drop_tools(body, edits.drop_tools, messages_tools)
    if edits.overrides:
        lost += apply_overrides(body, edits.overrides, "messages")
    if history:
        before = body["messages"]
        body["messages"] = _History(edits).rewrite(before)
        if body["messages"] is before and not members_change:
            return head.body
    return dumps(body)


class _History:
    """Rewrites the blocks whose ids, results or neighbours change; others stay raw."""

    def __init__(self, edits: Edits) -> None:
        self._map = mapper(edits)
        self._results = edits.results
        self._native = edits.native_client
        self._siblings = Siblings(edits.reinsert)
        self._unanswered: list[Reinsert] = []

    def rewrite(self, listed: Raw) -> Raw:
        """The whole list."""
        out: list[Piece] = []
        read = decode(_messages, listed, "messages")
        given = elements(listed)
        for i, (message, opened) in enumerate(zip(read, given, strict=True)):
            plain = message.content is ABSENT or memoryview(message.content)[0] != 0x5B
            blocks = None if plain else self._blocks(message.content, f"messages[{i}].content")
            if self._unanswered and message.role == "user":
                blocks = [*self._refusals(), *(_content(message) if blocks is None else blocks)]
            if blocks is None:
                out.append(opened)
            elif blocks:
                out.append(raw({**members(opened), "content": blocks}))
        if self._unanswered:
            out.append({"role": "user", "content": self._refusals()})
        return listed if unchanged(out, given) else raw(out)

    def _refusals(self) -> list[Piece]:
        """Refusals whose sibling's result is not in the history: they come first."""
        found: list[Piece] = [_refusal(one) for one in self._unanswered]
        self._unanswered = []
        return found

    def _blocks(self, content: Raw, path: str) -> list[Piece] | None:
        """The blocks after all edits; None when none of them changed."""
        out: list[Piece] = []
        changed = False
        read = decode(_blocks, content, path)
        for block, opened in zip(read, elements(content), strict=True):
            new: Piece | None = opened
            more: list[Piece] = []
            if block.type == "tool_result":
                new, more = self._result(block, opened)
            elif block.id is not None and is_tool_use(block.type):
                new, more = self._call(block, opened)
            elif block.type == "thinking" and not self._native and block.text is not ABSENT:
                new = _thinking(block, opened)
            changed = changed or new is not opened or bool(more)
            if new is not None:
                out.append(new)
            out += more
        return out if changed else None

    def _call(self, block: _Block, opened: Raw) -> tuple[Piece, list[Piece]]:
        ours = block.id or ""
        theirs = self._map(ours)
        put_back = self._siblings.calls(theirs)
        self._unanswered += put_back
        new = opened if theirs == ours else raw({**members(opened), "id": theirs})
        return new, [_tool_use(one) for one in put_back]

    def _result(self, block: _Block, opened: Raw) -> tuple[Piece, list[Piece]]:
        ours = block.tool_use_id or ""
        theirs = self._map(ours)
        text = self._results.get(ours)
        new: Piece = opened
        if text is not None or theirs != ours:
            tree = members(opened)
            tree["tool_use_id"] = raw(theirs)
            if text is not None:
                tree["content"] = _with_text(tree.get("content", ABSENT), text)
            new = raw(tree)
        refusals = self._siblings.refusals(theirs)
        self._unanswered = [one for one in self._unanswered if one not in refusals]
        return new, [_refusal(one) for one in refusals]


def _content(message: _Message) -> list[Piece]:
    """The content of a message as blocks."""
    if message.content is ABSENT:
        return []
    if memoryview(message.content)[0] == _QUOTE:
        return [{"type": "text", "text": message.content}]
    return list(elements(message.content))


def _with_text(content: Raw, text: str) -> Raw:
    """`content` saying `text`; images and documents in it stay, behind the text."""
    if memoryview(content)[0] != 0x5B:
        return raw(text)
    parts = [part for part in elements(content) if loads(part).get("type") != "text"]
    return raw([{"type": "text", "text": text}, *parts]) if parts else raw(text)


def _thinking(block: _Block, opened: Raw) -> Raw | None:
    """Without the typed client's `text`; None when that was all it knew of the thinking."""
    if block.thinking is ABSENT:
        return None
    tree = members(opened)
    del tree["text"]
    return raw(tree)


def _tool_use(one: Reinsert) -> dict[str, Any]:
    tree = {"type": "tool_use", "id": one.call.id, "name": one.call.name}
    return {**tree, "input": object_of(one.call.arguments)}


def _refusal(one: Reinsert) -> dict[str, Any]:
    return _denied(one.call.id, one.denial)


def _denied(call_id: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": text, "is_error": True}


def again_messages(
    request_body: bytes,
    content: Sequence[Mapping[str, Any]],
    denials: Sequence[tuple[str, str, str]],
) -> bytes:
    """The next round: `content` as the model made it, then a refusal for each of its calls.

    Thinking goes back with its signature: the provider wants it before the calls.
    `denials` are (call id, name, text).
    """
    body = members(request_body)
    relax_choice(body)
    results = [_denied(call_id, text) for call_id, _, text in denials]
    body["messages"] = raw(
        [
            *elements(body["messages"]),
            {"role": "assistant", "content": list(content)},
            {"role": "user", "content": results},
        ]
    )
    return dumps(body)
