"""A streamed Chat Completions answer as neutral events.

Tool calls end only when the answer does: fragments of parallel calls may
alternate, and text after a call belongs to the text before it, as in the whole
answer. Providers differ, so ids may be missing, indexes repeated and `[DONE]`
left out.
"""

from typing import Any

import msgspec
from msgspec import Struct

from interlock.providers.wire.chat.answers import STOP, usage_of
from interlock.providers.wire.chat.content import reasoning_parts
from interlock.providers.wire.codec import StreamReader
from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.model import (
    ArgumentsDelta,
    Event,
    Finish,
    Refusal,
    Start,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    Usage,
    UsageSeen,
)
from interlock.providers.wire.reading import JSON_ERRORS

__all__ = ["ChatStreamDecoder"]


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Any] | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(Struct):
    index: int | None = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    id: str | None = None
    model: str | None = None
    created: float | None = None
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


class _Open(Struct):
    """A tool call that is being told."""

    index: int
    id: str


_decode = msgspec.json.Decoder(_Chunk).decode
_NO_DELTA = _Delta()


class ChatStreamDecoder(StreamReader):
    """See `StreamDecoder`."""

    shape = _Chunk

    def __init__(self, *, max_event_bytes: int) -> None:
        super().__init__(max_event_bytes=max_event_bytes)
        self._part: int | None = None
        """Index of the open text, thinking or refusal part."""
        self._kind: type[Text] | type[Thinking] | type[Refusal] = Text
        self._proved = False
        self._plain_reasoning = False
        """Reasoning comes as strings; texts in `reasoning_details` repeat them."""
        self._calls: list[_Open] = []
        self._by_index: dict[int, _Open] = {}
        self._stop: StopReason | None = None
        self._usage: Usage | None = None

    def _event(self, payload: bytes, out: list[Event]) -> None:
        if payload.startswith(b"[DONE]"):
            self._done(out)
            return
        try:
            chunk = _decode(payload)
        except JSON_ERRORS:
            chunk = self._mended(payload)
        if chunk.error:
            self._error(chunk.error, out)
            return
        if chunk.usage is not None:
            self._usage = usage_of(chunk.usage)
            if self._usage is not None and self._started:
                out.append(UsageSeen(usage=self._usage))
        for choice in chunk.choices or ():
            if choice.index:
                continue
            if not self._started:
                self._started = True
                created = int(chunk.created or 0)
                out.append(Start(id=chunk.id or "", model=chunk.model or "", created=created))
            if self._stop is None:
                self._delta(choice.delta or _NO_DELTA, out)
                if choice.finish_reason is not None:
                    self._finished(choice.finish_reason, out)

    def _delta(self, delta: _Delta, out: list[Event]) -> None:
        if delta.content:
            self._say(Text, delta.content, out)
        thought = delta.reasoning_content or delta.reasoning
        if thought:
            self._plain_reasoning = True
            self._say(Thinking, thought, out)
        if delta.reasoning_details:
            self._details(delta.reasoning_details, out)
        if delta.refusal:
            self._say(Refusal, delta.refusal, out)
        for call in delta.tool_calls or ():
            self._call(call, out)
        if delta.function_call is not None:
            self._call(_Call(index=0, function=delta.function_call), out)

    def _say(
        self,
        kind: type[Text] | type[Thinking] | type[Refusal],
        text: str,
        out: list[Event],
    ) -> None:
        if self._part is None or self._kind is not kind or (self._proved and kind is Thinking):
            self._end_part(out)
            self._part = self._open(kind(text=""), out)
            self._kind = kind
        out.append(TextDelta(index=self._part, text=text))

    def _end_part(self, out: list[Event]) -> None:
        if self._part is not None:
            self._close(self._part, out)
            self._part = None
        self._proved = False

    def _details(self, details: list[Any], out: list[Event]) -> None:
        """Proofs, and texts where the provider tells reasoning in no other way."""
        for part in reasoning_parts({"reasoning_details": details}, "", upstream=True):
            if not isinstance(part, Thinking):
                continue
            if part.text and not self._plain_reasoning:
                self._say(Thinking, part.text, out)
            if part.signature is None and part.encrypted is None:
                continue
            if self._part is None or self._kind is not Thinking or self._proved:
                self._end_part(out)
                self._kind = Thinking
                self._part = self._open(Thinking(), out)
            self._prove(self._part, part, out)
            self._proved = True

    def _call(self, call: _Call, out: list[Event]) -> None:
        function = call.function or _Function()
        key = call.index if call.index is not None else max(len(self._calls) - 1, 0)
        known = self._by_index.get(key)
        if known is None or (call.id and call.id != known.id):
            if not function.name:
                raise MalformedAnswerError("the upstream sent a tool call without a name")
            if self._part is not None and self._kind is Thinking:
                self._end_part(out)
            call_id = call.id or f"call_{len(self._calls)}"
            part = ToolCall(id=call_id, name=function.name, arguments="")
            known = _Open(index=self._open(part, out), id=call_id)
            self._by_index[key] = known
            self._calls.append(known)
        if function.arguments:
            out.append(ArgumentsDelta(index=known.index, text=function.arguments))

    def _finished(self, reason: str, out: list[Event]) -> None:
        if reason == "error":
            self._failed(out, "the upstream ended its answer with an error", None)
            return
        stop = STOP.get(reason, StopReason.END)
        self._end_parts(out)
        if stop is StopReason.END and self._calls:
            stop = StopReason.TOOL_CALLS
        self._stop = stop

    def _end_parts(self, out: list[Event]) -> None:
        self._end_part(out)
        for call in self._calls:
            self._close(call.index, out)

    def _done(self, out: list[Event]) -> None:
        if not self._started:
            self._ended_early(out)
            return
        if self._stop is None:
            self._finished("stop", out)
        self._over = True
        out.append(Finish(stop=self._stop or StopReason.END, usage=self._usage))

    def eof(self) -> list[Event]:
        """The upstream closed; an answer with a finish reason is complete without `[DONE]`."""
        out: list[Event] = []
        if not self._over:
            if self._stop is not None and not self._sse.pending:
                self._done(out)
            else:
                self._ended_early(out)
        return out

    def _error(self, error: object, out: list[Event]) -> None:
        message: object = error
        status = None
        if isinstance(error, dict):
            message = error.get("message") or error
            code = error.get("code", error.get("status"))
            status = code if isinstance(code, int) and 400 <= code < 600 else None
        self._failed(out, f"the upstream failed: {message}"[:2000], status)
