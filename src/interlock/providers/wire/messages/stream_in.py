"""A streamed Messages answer as neutral events."""

from typing import Any

import msgspec
from msgspec import Struct

from interlock.providers.wire.codec import StreamReader
from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.messages.answers import STOP, usage_of
from interlock.providers.wire.messages.blocks import decode_thinking
from interlock.providers.wire.model import (
    ArgumentsDelta,
    Event,
    Finish,
    Start,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    UsageSeen,
)
from interlock.providers.wire.reading import JSON_ERRORS, Tree
from interlock.providers.wire.thinking import unpack

__all__ = ["MessagesStreamDecoder"]

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _Block(Struct):
    type: str
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: Any = None


class _Delta(Struct):
    type: str | None = None
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    signature: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Message(Struct):
    id: str = ""
    model: str = ""
    usage: dict[str, Any] | None = None


class _Event(Struct):
    type: str
    index: int = -1
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


class _Open(Struct):
    """A block we follow. `whole` is the input a provider told at once."""

    index: int
    part: Text | Thinking | ToolCall
    whole: str = ""


_decode = msgspec.json.Decoder(_Event).decode


class MessagesStreamDecoder(StreamReader):
    """See `StreamDecoder`."""

    shape = _Event

    def __init__(self, *, max_event_bytes: int) -> None:
        super().__init__(max_event_bytes=max_event_bytes)
        self._open_blocks: dict[int, _Open] = {}
        self._usage: Tree = {}
        self._stop: StopReason | None = None
        self._stop_sequence: str | None = None
        self._called = False

    def _event(self, payload: bytes, out: list[Event]) -> None:
        try:
            event = _decode(payload)
        except JSON_ERRORS:
            event = self._mended(payload)
        kind = event.type
        if kind == "content_block_delta" and event.delta is not None:
            self._delta(event.index, event.delta, out)
        elif kind == "content_block_start" and event.content_block is not None:
            self._begin(event.index, event.content_block, out)
        elif kind == "content_block_stop":
            self._end(event.index, out)
        elif kind == "message_start":
            self._start(event.message or _Message(), out)
        elif kind == "message_delta":
            self._message_delta(event, out)
        elif kind == "message_stop":
            self._finish(out)
        elif kind == "error":
            self._error(event.error, out)

    def _start(self, message: _Message, out: list[Event]) -> None:
        if self._started:
            raise MalformedAnswerError("the upstream started its answer twice")
        self._started = True
        self._usage = dict(message.usage or {})
        out.append(
            Start(id=message.id, model=message.model, created=0, usage=usage_of(message.usage))
        )

    def _begin(self, index: int, block: _Block, out: list[Event]) -> None:
        if not self._started or index in self._open_blocks:
            raise MalformedAnswerError("the upstream opened a block out of order")
        part: Text | Thinking | ToolCall
        whole = ""
        if block.type == "text":
            part = Text(text="")
        elif block.type == "thinking":
            part = Thinking()
        elif block.type == "redacted_thinking":
            tree = {"type": block.type, "data": block.data or ""}
            part = decode_thinking(tree, "content_block")
        elif block.type == "tool_use":
            if not block.id or not block.name:
                raise MalformedAnswerError("the upstream sent a tool call without id or name")
            self._called = True
            part = ToolCall(id=block.id, name=block.name, arguments="")
            if isinstance(block.input, dict) and block.input:
                whole = msgspec.json.encode(block.input).decode()
        else:
            return
        opened = _Open(index=self._open(part, out), part=part, whole=whole)
        self._open_blocks[index] = opened
        if block.text:
            out.append(TextDelta(index=opened.index, text=block.text))
        if block.thinking:
            out.append(TextDelta(index=opened.index, text=block.thinking))
        if block.signature:
            self._signature(opened, block.signature, out)

    def _delta(self, index: int, delta: _Delta, out: list[Event]) -> None:
        opened = self._open_blocks.get(index)
        if opened is None:
            if not self._started:
                raise MalformedAnswerError("the upstream sent text before its answer began")
            return
        kind = delta.type
        if kind == "text_delta" and delta.text:
            out.append(TextDelta(index=opened.index, text=delta.text))
        elif kind == "input_json_delta" and delta.partial_json:
            opened.whole = ""
            out.append(ArgumentsDelta(index=opened.index, text=delta.partial_json))
        elif kind == "thinking_delta" and delta.thinking:
            out.append(TextDelta(index=opened.index, text=delta.thinking))
        elif kind == "signature_delta" and delta.signature:
            self._signature(opened, delta.signature, out)

    def _signature(self, opened: _Open, signature: str, out: list[Event]) -> None:
        part = unpack(signature) or Thinking(signature=signature, origin="messages")
        self._prove(opened.index, part, out)

    def _end(self, index: int, out: list[Event]) -> None:
        opened = self._open_blocks.pop(index, None)
        if opened is not None:
            if opened.whole:
                out.append(ArgumentsDelta(index=opened.index, text=opened.whole))
            self._close(opened.index, out)

    def _message_delta(self, event: _Event, out: list[Event]) -> None:
        if not self._started:
            raise MalformedAnswerError("the upstream ended its answer before it began")
        if event.delta is not None and event.delta.stop_reason is not None:
            self._stop = STOP.get(event.delta.stop_reason, StopReason.END)
            self._stop_sequence = event.delta.stop_sequence
        if event.usage:
            told = {key: value for key, value in event.usage.items() if value is not None}
            self._usage.update(told)
            usage = usage_of(self._usage)
            if usage is not None:
                out.append(UsageSeen(usage=usage))

    def _finish(self, out: list[Event]) -> None:
        if not self._started:
            raise MalformedAnswerError("the upstream ended its answer before it began")
        for index in list(self._open_blocks):
            self._end(index, out)
        stop = self._stop
        if stop is None:
            stop = StopReason.TOOL_CALLS if self._called else StopReason.END
        usage = usage_of(self._usage) if self._usage else None
        self._over = True
        out.append(Finish(stop=stop, stop_sequence=self._stop_sequence, usage=usage))

    def _error(self, error: object, out: list[Event]) -> None:
        message: object = error
        status = None
        if isinstance(error, dict):
            message = error.get("message") or error
            status = _STATUS.get(str(error.get("type")))
        self._failed(out, f"the upstream failed: {message}"[:2000], status)
