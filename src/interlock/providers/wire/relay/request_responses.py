"""The Responses body for the upstream: the client's, with what must change."""

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
from interlock.providers.wire.relay.items import denied_output, is_call, item_for
from interlock.providers.wire.relay.offered import responses_tools
from interlock.providers.wire.relay.overrides import apply_overrides, drop_tools
from interlock.providers.wire.relay.peek import decode

__all__ = ["again_responses", "request_responses"]

Members = dict[str, Raw]
Piece = Raw | dict[str, Any]


class _Item(Struct):
    type: str | None = None
    id: str | None = None
    call_id: str | None = None


_items = msgspec.json.Decoder(list[_Item])


def request_responses(head: Head, edits: Edits, lost: list[str]) -> bytes:
    """The body; paths of what could not be carried are added to `lost`."""
    history = touches_history(head, edits) or bool(edits.prepend and edits.upstream_id)
    rename = edits.model is not None and edits.model != head.model
    tools = edits.tools is not None  # for a body that has none of its own
    members_change = bool(rename or tools or edits.prepend or edits.drop_tools or edits.overrides)
    if not (members_change or history):
        return head.body
    body = members(head.body)
    if rename:
        body["model"] = raw(edits.model)
    if tools and bytes(body.get("tools", b"null")) in (b"null", b"[]"):
        body["tools"] = raw(list(edits.tools or ()))
    if edits.drop_tools:
        drop_tools(body, edits.drop_tools, responses_tools)
    if edits.overrides:
        lost += apply_overrides(body, edits.overrides, "responses")
    if edits.prepend:
        body["input"] = raw([*edits.prepend, *_input(body)])
        body.pop("previous_response_id", None)
        body.pop("conversation", None)
    if history and "input" in body and memoryview(body["input"])[0] == 0x5B:
        kinds = {tool.name: tool.kind for tool in head.tools}
        before = body["input"]
        body["input"] = _History(edits, kinds).rewrite(before)
        if body["input"] is before and not members_change:
            return head.body
    return dumps(body)


def _input(body: Members) -> list[Piece]:
    """`input` as items; a plain text is a user message."""
    given = body.get("input")
    if given is None or bytes(given) == b"null":
        return []
    if memoryview(given)[0] == 0x5B:
        return list(elements(given))
    return [{"type": "message", "role": "user", "content": given}]


class _History:
    """Rewrites the items whose ids, results or neighbours change; others stay raw."""

    def __init__(self, edits: Edits, kinds: Mapping[str, str]) -> None:
        self._map = mapper(edits)
        self._results = edits.results
        self._kinds = kinds
        self._siblings = Siblings(edits.reinsert)
        self._unanswered: list[Reinsert] = []

    def rewrite(self, listed: Raw) -> Raw:
        """The whole list."""
        out: list[Piece] = []
        read = decode(_items, listed, "input")
        given = elements(listed)
        for item, opened in zip(read, given, strict=True):
            kind = item.type or "message"
            if kind.endswith("_output"):
                self._output(out, item, opened)
                continue
            own = kind.endswith("_call")
            if not own:
                self._settle(out)
            ours = (item.call_id or item.id) if own else None
            if ours is None:
                out.append(opened)
                continue
            theirs = self._map(ours)
            out.append(opened if theirs == ours else _renamed(item, opened, theirs))
            for one in self._siblings.calls(theirs):
                out.append(self._item(one))
                self._unanswered.append(one)
        self._settle(out)
        return listed if unchanged(out, given) else raw(out)

    def _item(self, one: Reinsert) -> dict[str, Any]:
        return item_for(one.call, self._kinds.get(one.call.qualified, "function"))

    def _refusal(self, one: Reinsert) -> list[dict[str, Any]]:
        return denied_output(self._item(one), one.call.id, one.denial)

    def _settle(self, out: list[Piece]) -> None:
        for one in self._unanswered:
            out += self._refusal(one)
        self._unanswered = []

    def _output(self, out: list[Piece], item: _Item, opened: Raw) -> None:
        ours = item.call_id or item.id or ""
        theirs = self._map(ours)
        text = self._results.get(ours)
        if theirs != ours:
            opened = _renamed(item, opened, theirs)
        if text is not None:
            tree = members(opened)
            tree["output"] = raw(_said(item.type or "", tree.get("output"), text))
            opened = raw(tree)
        out.append(opened)
        for one in self._siblings.refusals(theirs):
            out += self._refusal(one)
            self._unanswered = [other for other in self._unanswered if other is not one]


def _renamed(item: _Item, opened: Raw, call_id: str) -> Raw:
    name = "call_id" if item.call_id is not None else "id"
    return raw({**members(opened), name: call_id})


def _said(kind: str, old: Raw | None, text: str) -> object:
    """An output of this kind saying `text`; pictures and files in it stay behind the text."""
    if kind == "shell_call_output":
        runs = loads(old) if old is not None else []
        runs = [run for run in runs if isinstance(run, dict)] or [
            {"outcome": {"type": "exit", "exit_code": 0}}
        ]
        return [
            {**run, "stdout": text if i == 0 else "", "stderr": ""} for i, run in enumerate(runs)
        ]
    if kind in ("computer_call_output", "tool_search_output") and old is not None:
        return old
    if old is None or memoryview(old)[0] != 0x5B:
        return text
    rest = [part for part in elements(old) if loads(part).get("type") not in _TEXTS]
    return [{"type": "input_text", "text": text}, *rest] if rest else text


_TEXTS = ("input_text", "output_text", "text")


def again_responses(
    request_body: bytes,
    output: Sequence[Mapping[str, Any]],
    denials: Sequence[tuple[str, str, str]],
) -> bytes:
    """The next round: `output` as the model made it, then a refusal for each of its calls.

    `denials` are (call id, name, text). An upstream that stores nothing cannot look up
    reasoning by its id: without its encrypted content such an item is left out, and with
    it the ids that tie the other items to it.
    """
    body = members(request_body)
    relax_choice(body)
    texts = {call_id: text for call_id, _, text in denials}
    items = [dict(item) for item in output]
    if "store" in body and bytes(body["store"]) == b"false":
        whole = [
            item
            for item in items
            if item.get("type") != "reasoning" or item.get("encrypted_content")
        ]
        if len(whole) < len(items):
            items = [_untied(item) for item in whole]
    more: list[Piece] = list(items)
    for item in items:
        call_id = item.get("call_id") or item.get("id")
        if is_call(item) and isinstance(call_id, str) and call_id in texts:
            more += denied_output(item, call_id, texts[call_id])
    body["input"] = raw([*_input(body), *more])
    return dumps(body)


def _untied(item: dict[str, Any]) -> dict[str, Any]:
    if "call_id" in item or item.get("type") == "message":
        item.pop("id", None)
    return item
