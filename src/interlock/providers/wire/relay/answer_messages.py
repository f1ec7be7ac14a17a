"""A whole Messages answer."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
from msgspec import Struct

from interlock.providers.wire.model import StopReason, ToolCall, Usage
from interlock.providers.wire.relay.answers import (
    Tree,
    Verdicts,
    array,
    clear,
    open_tree,
    reject_error,
)
from interlock.providers.wire.relay.calls import CallIds, is_tool_use, object_of
from interlock.providers.wire.relay.exact import JSON_ERRORS, dumps, text_of
from interlock.providers.wire.relay.usage import (
    MESSAGES_STOPS,
    messages_stop,
    messages_usage,
    write_messages,
)

__all__ = ["MessagesAnswer", "open_messages", "tool_call"]

_MARKERS = (b'tool_use"',)
_PLAIN = frozenset({"text", "thinking", "redacted_thinking"})
_TYPED = frozenset({*_PLAIN, "tool_use", "server_tool_use", "web_search_tool_result"})
"""Blocks the typed client can read (8.2)."""


class _Block(Struct):
    type: str


class _Quick(Struct):
    content: list[_Block]
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None


_quick = msgspec.json.Decoder(_Quick)


def open_messages(body: bytes, *, native: bool) -> "MessagesAnswer":
    """Opens an answer, no deeper than it must. Raises `MalformedAnswerError`."""
    probe = body.replace(b'"server_tool_use":', b"") if b"server_tool_use" in body else body
    if native and clear(probe, _MARKERS):
        try:
            if not body.isascii():
                body.decode()
            quick = _quick.decode(body)
        except JSON_ERRORS:
            pass
        else:
            return MessagesAnswer(
                body=body,
                tree=None,
                calls=(),
                stop=MESSAGES_STOPS.get(quick.stop_reason or "", StopReason.END),
                usage=messages_usage(quick.usage),
                model=quick.model or "",
                response_id=quick.id or "",
            )
    return _open_slowly(body, native=native)


def tool_call(block: Mapping[str, Any], call_id: str, arguments: str) -> ToolCall:
    """The call a `tool_use` block asks for; members of a toolset are `<toolset>.<name>`."""
    return ToolCall(
        id=call_id,
        name=text_of(block.get("name")),
        arguments=arguments,
        namespace=text_of(block.get("toolset_name")) or None,
    )


def _open_slowly(body: bytes, *, native: bool) -> "MessagesAnswer":
    tree, faithful = open_tree(body)
    if not isinstance(tree.get("content"), list):
        raise reject_error(tree, "content")
    ids = CallIds()
    calls: list[ToolCall] = []
    content = []
    for block in array(tree, "content"):
        kind = block.get("type")
        if not native and kind not in _TYPED and not is_tool_use(kind):
            faithful = False
            continue
        content.append(block)
        if is_tool_use(kind):
            block["id"] = ids.claim(block.get("id"))
            given = block.get("input")
            calls.append(tool_call(block, block["id"], dumps(given or {}).decode()))
        elif not native and kind == "thinking" and "text" not in block:
            block["text"] = block.get("thinking") or ""
            faithful = False
    tree["content"] = content
    return MessagesAnswer(
        body=body if faithful else dumps(tree),
        tree=tree,
        calls=calls,
        stop=MESSAGES_STOPS.get(text_of(tree.get("stop_reason")), StopReason.END),
        usage=messages_usage(tree.get("usage")),
        model=text_of(tree.get("model")),
        response_id=text_of(tree.get("id")),
    )


class MessagesAnswer:
    """See `Answer`."""

    def __init__(
        self,
        *,
        body: bytes,
        tree: Tree | None,
        calls: Sequence[ToolCall],
        stop: StopReason,
        usage: Usage | None,
        model: str,
        response_id: str,
    ) -> None:
        self.calls = calls
        self.stop = stop
        self.usage = usage
        self.model = model
        self.response_id = response_id
        self._body = body
        self._tree = tree
        self.earlier: Sequence[list[Tree]] = ()
        """What `said` gave for the rounds before this one."""

    def said(self) -> list[Tree]:
        """The blocks that call nothing."""
        content = array(self._tree or {}, "content")
        return [block for block in content if not is_tool_use(block.get("type"))]

    def output(self) -> list[Tree] | None:
        """The content for the next request, thinking with its signature included."""
        if self._tree is None or not self.calls:
            return None
        return [_untyped(block) for block in self._tree["content"]]

    def finish(
        self,
        ids: Mapping[str, str],
        *,
        denied: frozenset[str] = frozenset(),
        arguments: Mapping[str, str] | None = None,
        extra_text: str | None = None,
        usage: Usage | None = None,
        stop: StopReason | None = None,
    ) -> bytes:
        """See `Answer.finish`."""
        verdicts = Verdicts(
            ids, denied=denied, arguments=arguments, text=extra_text, usage=usage, stop=stop
        )
        if not (self.earlier or verdicts.changes(self.calls, self.stop, self.usage)):
            return self._body
        tree = dict(open_tree(self._body)[0] if self._tree is None else self._tree)
        calls = iter(self.calls)
        content: list[Tree] = []
        first_call = None
        for block in array(tree, "content"):
            if not is_tool_use(block.get("type")):
                content.append(block)
                continue
            call = next(calls)
            our_id = verdicts.our_id(call)
            if our_id is not None:
                first_call = len(content) if first_call is None else first_call
                given = verdicts.arguments.get(call.id)
                new = {"input": object_of(given)} if given is not None else {}
                content.append({**block, **new, "id": our_id})
        if extra_text:
            at = len(content) if first_call is None else first_call
            content.insert(at, {"type": "text", "text": extra_text})
        tree["content"] = [*chain.from_iterable(self.earlier), *content]
        if first_call is None:
            self._settle(tree, stop)
        if usage is not None and usage != self.usage:
            tree["usage"] = write_messages(tree.get("usage"), usage)
        return dumps(tree)

    def _settle(self, tree: Tree, stop: StopReason | None) -> None:
        """The stop reason of an answer that asks for nothing any more."""
        if stop is None and self.stop is StopReason.TOOL_CALLS:
            stop = StopReason.END
        if stop is not None and stop is not self.stop:
            tree["stop_reason"] = messages_stop(stop)
            if stop is not StopReason.STOP_SEQUENCE:
                tree["stop_sequence"] = None


def _untyped(block: Tree) -> Tree:
    """`block` without the typed client's extra member, which providers refuse."""
    if block.get("type") != "thinking" or "text" not in block:
        return block
    return {name: value for name, value in block.items() if name != "text"}
