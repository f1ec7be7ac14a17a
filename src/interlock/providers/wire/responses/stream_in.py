"""A streamed Responses answer as neutral events."""

from typing import Any

import msgspec
from msgspec import Struct

from interlock.providers.wire.codec import StreamReader
from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.model import (
    ArgumentsDelta,
    Event,
    Finish,
    Part,
    Refusal,
    Start,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    UsageSeen,
)
from interlock.providers.wire.reading import JSON_ERRORS, Tree
from interlock.providers.wire.responses.answers import output_parts, stop_of, usage_of

__all__ = ["ResponsesStreamDecoder"]

_STATUS = {"rate_limit_exceeded": 429, "server_error": 500, "invalid_prompt": 400}
_TEXTS = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
    }
)


class _Event(Struct):
    type: str
    response: dict[str, Any] | None = None
    item: dict[str, Any] | None = None
    part: dict[str, Any] | None = None
    delta: Any = None
    output_index: int = 0
    content_index: int = 0
    error: Any = None
    code: Any = None
    message: Any = None


class _Open(Struct):
    """A part we follow: text and refusals by content index, other items as a whole."""

    index: int
    kind: type
    said: bool = False
    source: str = ""
    """Event type the thought is told by; a provider may tell it twice."""
    gap: bool = False


_decode = msgspec.json.Decoder(_Event).decode
_WHOLE = -1
"""Content index of items that are one part."""


class ResponsesStreamDecoder(StreamReader):
    """See `StreamDecoder`."""

    shape = _Event

    def __init__(self, *, max_event_bytes: int) -> None:
        super().__init__(max_event_bytes=max_event_bytes)
        self._parts: dict[tuple[int, int], _Open] = {}
        self._seen: set[int] = set()
        """Output items of which a part has been told."""
        self._called = False

    def _event(self, payload: bytes, out: list[Event]) -> None:
        if payload.startswith(b"[DONE]"):
            return
        try:
            event = _decode(payload)
        except JSON_ERRORS:
            event = self._mended(payload)
        kind = event.type
        if kind in _TEXTS:
            self._text(event, out)
            return
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, event, out)

    def _start(self, event: _Event, out: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        tree = event.response or {}
        created = tree.get("created_at")
        out.append(
            Start(
                id=_word(tree, "id"),
                model=_word(tree, "model"),
                created=int(created) if isinstance(created, int | float) else 0,
            )
        )

    def _begin(self, key: tuple[int, int], part: Part, out: list[Event]) -> _Open:
        if not self._started:
            raise MalformedAnswerError("the upstream sent output before its answer began")
        opened = _Open(index=self._open(part, out), kind=type(part))
        self._parts[key] = opened
        self._seen.add(key[0])
        return opened

    def _item_added(self, event: _Event, out: list[Event]) -> None:
        item = event.item or {}
        key = (event.output_index, _WHOLE)
        if key in self._parts:
            raise MalformedAnswerError("the upstream opened an item twice")
        if item.get("type") == "reasoning":
            part = Thinking(id=_word(item, "id") or None, origin="responses")
            self._begin(key, part, out)
        elif item.get("type") == "function_call":
            (call,) = output_parts({**item, "arguments": ""}, "item")
            if isinstance(call, ToolCall):
                self._called = True
                self._begin(key, msgspec.structs.replace(call, arguments=""), out)

    def _part_added(self, event: _Event, out: list[Event]) -> None:
        kind = (event.part or {}).get("type")
        key = (event.output_index, event.content_index)
        if kind in ("output_text", "refusal") and key not in self._parts:
            self._begin(key, Refusal(text="") if kind == "refusal" else Text(text=""), out)

    def _text(self, event: _Event, out: list[Event]) -> None:
        delta = event.delta
        if not isinstance(delta, str):
            raise MalformedAnswerError("the upstream sent a delta that is not text")
        if not delta:
            return
        kind = event.type
        if kind.startswith("response.reasoning"):
            self._thought(event, delta, out)
            return
        key = (event.output_index, event.content_index)
        opened = self._parts.get(key)
        if opened is None:
            refusal = kind == "response.refusal.delta"
            opened = self._begin(key, Refusal(text="") if refusal else Text(text=""), out)
        opened.said = True
        out.append(TextDelta(index=opened.index, text=delta))

    def _thought(self, event: _Event, delta: str, out: list[Event]) -> None:
        key = (event.output_index, _WHOLE)
        opened = self._parts.get(key)
        if opened is None:
            opened = self._begin(key, Thinking(origin="responses"), out)
        if not opened.source:
            opened.source = event.type
        if opened.source != event.type:
            return
        if opened.gap:
            opened.gap = False
            delta = "\n\n" + delta
        opened.said = True
        out.append(TextDelta(index=opened.index, text=delta))

    def _summary_added(self, event: _Event, out: list[Event]) -> None:
        del out
        opened = self._parts.get((event.output_index, _WHOLE))
        if opened is not None:
            opened.gap = opened.said

    def _arguments(self, event: _Event, out: list[Event]) -> None:
        opened = self._parts.get((event.output_index, _WHOLE))
        if opened is None or opened.kind is not ToolCall or not isinstance(event.delta, str):
            raise MalformedAnswerError("the upstream sent arguments of no call")
        if event.delta:
            opened.said = True
            out.append(ArgumentsDelta(index=opened.index, text=event.delta))

    def _part_done(self, event: _Event, out: list[Event]) -> None:
        key = (event.output_index, event.content_index)
        opened = self._parts.pop(key, None)
        if opened is None:
            return
        part = event.part or {}
        whole = _word(part, "text") or _word(part, "refusal")
        if whole and not opened.said:
            out.append(TextDelta(index=opened.index, text=whole))
        self._close(opened.index, out)

    def _item_done(self, event: _Event, out: list[Event]) -> None:
        index = event.output_index
        item = event.item or {}
        if index not in self._seen:
            self._unannounced(index, item, out)
        for key in [key for key in self._parts if key[0] == index]:
            opened = self._parts.pop(key)
            if opened.kind in {ToolCall, Thinking}:
                self._complete(opened, item, out)
            self._close(opened.index, out)

    def _complete(self, opened: _Open, item: Tree, out: list[Event]) -> None:
        """What the finished item says that no delta said."""
        for part in output_parts(item, "item"):
            if isinstance(part, ToolCall):
                if not opened.said and part.arguments != "{}":
                    out.append(ArgumentsDelta(index=opened.index, text=part.arguments))
            elif isinstance(part, Thinking):
                if part.text and not opened.said:
                    out.append(TextDelta(index=opened.index, text=part.text))
                self._prove(opened.index, part, out)

    def _unannounced(self, index: int, item: Tree, out: list[Event]) -> None:
        """An item that comes whole, without having been opened."""
        for i, part in enumerate(output_parts(item, "item")):
            if isinstance(part, ToolCall | Thinking):
                self._called = self._called or isinstance(part, ToolCall)
                empty: Part = (
                    msgspec.structs.replace(part, arguments="")
                    if isinstance(part, ToolCall)
                    else Thinking(id=part.id, origin=part.origin)
                )
                self._begin((index, _WHOLE), empty, out)
            elif isinstance(part, Text | Refusal):
                opened = self._begin((index, i), type(part)(text=""), out)
                if part.text:
                    out.append(TextDelta(index=opened.index, text=part.text))

    def _finish(self, event: _Event, out: list[Event]) -> None:
        if not self._started:
            self._start(event, out)
        for opened in self._parts.values():
            self._close(opened.index, out)
        self._parts.clear()
        tree = event.response or {}
        if event.type == "response.incomplete":
            tree = {**tree, "status": "incomplete"}
        usage = usage_of(tree.get("usage"))
        if usage is not None:
            out.append(UsageSeen(usage=usage))
        self._over = True
        out.append(Finish(stop=stop_of(tree, called=self._called), usage=usage))

    def _error(self, event: _Event, out: list[Event]) -> None:
        error = event.error
        if event.response is not None:
            error = event.response.get("error")
        if not isinstance(error, dict):
            error = {"code": event.code, "message": event.message or error}
        code = error.get("code") or error.get("type")
        status = _STATUS.get(str(code))
        message = error.get("message") or code or "no reason given"
        self._failed(out, f"the upstream failed: {message}"[:2000], status)


def _word(tree: Tree, key: str) -> str:
    value = tree.get(key)
    return value if isinstance(value, str) else ""


_HANDLERS = {
    "response.created": ResponsesStreamDecoder._start,
    "response.in_progress": ResponsesStreamDecoder._start,
    "response.queued": ResponsesStreamDecoder._start,
    "response.output_item.added": ResponsesStreamDecoder._item_added,
    "response.output_item.done": ResponsesStreamDecoder._item_done,
    "response.content_part.added": ResponsesStreamDecoder._part_added,
    "response.content_part.done": ResponsesStreamDecoder._part_done,
    "response.reasoning_summary_part.added": ResponsesStreamDecoder._summary_added,
    "response.function_call_arguments.delta": ResponsesStreamDecoder._arguments,
    "response.completed": ResponsesStreamDecoder._finish,
    "response.incomplete": ResponsesStreamDecoder._finish,
    "response.failed": ResponsesStreamDecoder._error,
    "error": ResponsesStreamDecoder._error,
}
"""What each event type does; unknown ones say nothing other formats could repeat."""
